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
 * @param options of spawn; with `lifeMs` the program is a process group, which is killed as a whole when it has lived that long
 * @returns {Promise<{ code: number, signal: NodeJS.Signals | null, overdue: boolean }>} the signal that ended it or was passed on to it;
 *   overdue: its time was up
 */
export async function runChild(command, words, { lifeMs, ...options } = {}) {
  // What it starts shares its fate. There are no process groups on Windows.
  const group = lifeMs !== undefined && process.platform !== 'win32';
  const child = spawn(command, words, {
    ...{ cwd: root, stdio: 'inherit', env: childEnvironment(), detached: group },
    ...options,
  });
  const send = (signal) => (group ? signalGroup(child.pid, signal) : child.kill(signal));
  let told = null;
  const forward = (signal) => {
    told = signal;
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
      child.once('exit', (code, signal) => resolve({ code: code ?? 1, signal: signal ?? told, overdue }));
    });
  } finally {
    clearTimeout(life);
    for (const signal of signals) process.off(signal, forward);
  }
}

/** The group that `pid` leads: false if nobody is left in it. */
function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}
