/**
 * Runs children in the foreground: passes signals on to them and returns their outcome. Plain
 * JavaScript for Node >= 20.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { root } from './install.mjs';

/** Environment in which `node` is the pinned one and Nx leaves no daemon behind. */
export function childEnvironment(extra = {}) {
  const PATH = [path.join(root, 'node_modules/.bin'), process.env.PATH ?? ''].join(path.delimiter);
  return { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', ...extra, PATH };
}

/**
 * Runs a program to its end, and passes SIGINT, SIGTERM and SIGHUP on to it.
 * @param options of spawn; with `lifeMs` the program leads a process group, which is killed as a
 *   whole after that time
 * @returns {Promise<{ code: number, signal: NodeJS.Signals | null, overdue: boolean }>} `signal`
 *   ended the program or was passed on to it; `overdue` is true if `lifeMs` was over
 */
export async function runChild(command, words, { lifeMs, ...options } = {}) {
  // The group includes every process that the program starts. Windows has no process groups.
  const group = lifeMs !== undefined && process.platform !== 'win32';
  const child = spawn(command, words, {
    cwd: root,
    stdio: 'inherit',
    env: childEnvironment(),
    detached: group,
    ...options,
  });
  const send = (signal) => (group ? signalGroup(child.pid, signal) : child.kill(signal));
  let forwarded = null;
  const forward = (signal) => {
    forwarded = signal;
    send(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  let overdue = false;
  const end = () => {
    overdue = true;
    send('SIGKILL');
  };
  const life = lifeMs === undefined ? undefined : setTimeout(end, lifeMs);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        resolve({ code: code ?? 1, signal: signal ?? forwarded, overdue }),
      );
    });
  } finally {
    clearTimeout(life);
    for (const signal of signals) process.off(signal, forward);
  }
}

/** Signals the group that `pid` leads; false if it has no process any more. */
function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}
