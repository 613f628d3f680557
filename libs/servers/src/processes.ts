/**
 * Processes, identified by pid and start time: the system gives the pid of a dead process to
 * another one.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { sleep } from '@thermomesh/runtime';

const run = promisify(execFile);

/** Identifies one process for as long as the machine runs. */
export interface ProcessIdentity {
  pid: number;
  /**
   * When it started, in the notation of the system. Two processes with the same pid differ in it.
   */
  startTime: string;
}

/** The identity of `pid`; undefined if no process has it. A zombie does not count. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  if (!isPid(pid)) return undefined;
  const startTime = existsSync('/proc/self/stat') ? await startTimeFromProc(pid) : await startTimeFromPs(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** True if exactly that process still runs. */
export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** The command line of `pid`, arguments separated by spaces; undefined if no process has it. */
export async function commandLine(pid: number): Promise<string | undefined> {
  if ((await identify(pid)) === undefined) return undefined;
  if (existsSync('/proc/self/stat')) {
    const words = await readOrUndefined(`/proc/${pid}/cmdline`);
    return words?.split('\0').join(' ').trim();
  }
  return run('ps', ['-o', 'args=', '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}

/**
 * Sends `signal` to exactly that process.
 * @returns false if it no longer runs
 */
export async function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals): Promise<boolean> {
  return (await isAlive(target)) && sendSignal(target.pid, signal);
}

/** Sends `signal`; returns false if no process has this pid. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Waits until that process has ended.
 * @returns false if it still runs after `timeoutMs`
 */
export async function waitForEnd(target: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(target)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

function isPid(pid: number): boolean {
  return Number.isInteger(pid) && pid > 1;
}

/**
 * Linux: field 22 of /proc/<pid>/stat, in clock ticks since the boot (proc_pid_stat(5)); field 3 is
 * the state.
 */
async function startTimeFromProc(pid: number): Promise<string | undefined> {
  const stat = await readOrUndefined(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command is in parentheses and may itself contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}

async function startTimeFromPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await run('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' } });
    const line = stdout.trim();
    return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '');
  } catch (error) {
    // ps exits with 1 if no process has the pid; any other failure is unexpected.
    if ((error as { code?: unknown }).code === 1) return undefined;
    throw error;
  }
}

async function readOrUndefined(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
