/** Freezes a process completely, together with its children if those serve its connections. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { identify, isAlive, signalProcess, type ProcessIdentity } from '@thermomesh/servers';
import { meshError } from '../errors.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const pollMs = 5;

export interface FreezeOptions {
  /**
   * Freezes its children too: a server with one process for each connection would continue in them.
   */
  family: boolean;
  /** Time limit until all of them are stopped. */
  timeoutMs: number;
}

/**
 * Stops `victim` (SIGSTOP), runs `work`, and continues everything that it has stopped, whether the
 * work succeeds or not.
 * @throws MeshError `chaos.missed` if the victim ends before it is stopped, `mesh.timeout`
 */
export async function whileFrozen<T>(
  victim: ProcessIdentity,
  { family, timeoutMs }: FreezeOptions,
  work: () => Promise<T>,
): Promise<T> {
  const stopped: ProcessIdentity[] = [];
  try {
    await stop(victim, stopped);
    await untilStill(victim, timeoutMs);
    if (family) await stopChildren(victim, stopped, timeoutMs);
    return await work();
  } finally {
    // A process that was killed meanwhile is left alone, as its pid may have been reused.
    await Promise.all(stopped.map(async (process) => signalProcess(process, 'SIGCONT')));
  }
}

async function stop(target: ProcessIdentity, stopped: ProcessIdentity[]): Promise<void> {
  // Noted before the signal, so that no process stays stopped without being on the list.
  stopped.push(target);
  await signalProcess(target, 'SIGSTOP');
}

/** kill(2) returns before the signal is delivered; until then the process may still fork. */
async function untilStill(target: ProcessIdentity, timeoutMs: number): Promise<void> {
  await until({ what: `process ${target.pid} to be stopped`, timeoutMs, pollMs }, async () => {
    if (!(await isAlive(target)))
      throw meshError('chaos.missed', `process ${target.pid} ended before it was stopped`);
    return (await listProcesses()).some(({ pid, state }) => pid === target.pid && isStill(state));
  });
}

/**
 * A stopped parent forks no more children, and does not reap dead ones, so each pid needs to be
 * stopped only once.
 */
async function stopChildren(
  parent: ProcessIdentity,
  stopped: ProcessIdentity[],
  timeoutMs: number,
): Promise<void> {
  const known = new Set<number>();
  await until({ what: `the children of ${parent.pid} to be stopped`, timeoutMs, pollMs }, async () => {
    const children = (await listProcesses()).filter(({ ppid }) => ppid === parent.pid);
    for (const { pid } of children) {
      if (known.has(pid)) continue;
      known.add(pid);
      const child = await identify(pid);
      if (child !== undefined) await stop(child, stopped);
    }
    return children.every(({ state }) => isStill(state) || isDead(state));
  });
}

/** A process in the list of the system. */
export interface ListedProcess {
  pid: number;
  ppid: number;
  /** The first letter of its state: `T` is stopped, `Z` has ended (proc_pid_stat(5), ps(1)). */
  state: string;
}

const isStill = (state: string) => state === 'T';
const isDead = (state: string) => state === 'Z' || state === 'X';

/** All processes of this machine that this user can see. */
export async function listProcesses(): Promise<ListedProcess[]> {
  return existsSync('/proc/self/stat') ? listFromProc() : listFromPs();
}

async function listFromProc(): Promise<ListedProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const listed = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(undefinedIfGone);
      if (stat === undefined) return [];
      // The command is in parentheses and may itself contain spaces and parentheses.
      const [state = '', ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(pid), ppid: Number(ppid), state }];
    }),
  );
  return listed.flat();
}

/** Turns the error of a process that has ended since it was listed into undefined. */
function undefinedIfGone(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
  throw error;
}

async function listFromPs(): Promise<ListedProcess[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,stat='], { env: { LC_ALL: 'C' } });
  return stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [pid, ppid, state = ''] = line.trim().split(/\s+/);
      return { pid: Number(pid), ppid: Number(ppid), state: state.slice(0, 1) };
    });
}
