/** Children in the foreground: signals reach them, their outcome comes back. Plain JavaScript for Node >= 20. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { root } from './install.mjs';

/** Environment in which `node` is the pinned one and Nx leaves no daemon behind. */
export function childEnvironment(extra = {}) {
  const PATH = [path.join(root, 'node_modules/.bin'), process.env.PATH ?? ''].join(path.delimiter);
  return { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', ...extra, PATH };
}

/**
 * Runs a program to its end; SIGINT, SIGTERM and SIGHUP are passed on.
 * @returns {Promise<{ code: number, signal: NodeJS.Signals | null }>} code is 128 + n after a signal
 */
export async function runChild(command, words, options = {}) {
  const child = spawn(command, words, { cwd: root, stdio: 'inherit', env: childEnvironment(), ...options });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const forward = (signal) => child.kill(signal);
  for (const signal of signals) process.on(signal, forward);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code: code ?? 1, signal }));
    });
  } finally {
    for (const signal of signals) process.off(signal, forward);
  }
}
