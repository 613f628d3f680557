/** Freezing a process so that nothing of it goes on: with its children, if it serves through them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { MeshError } from '@thermomesh/runtime';
import { identify, isAlive, signalProcess, type ProcessIdentity } from '@thermomesh/servers';
import { until } from '../client/until.ts';

const run = promisify(execFile);
const pollMs = 5;

export interface FreezeOptions {
  /** With its children: a server that gives each connection a process of its own goes on in them. */
  family: boolean;
  /** How long it may take until all of them stand still. */
  timeoutMs: number;
}

/**
 * Stops `victim` (SIGSTOP), works, and wakes whatever it has stopped, whether the work succeeds or not.
 * @throws MeshError `chaos.missed` if the victim ends before it stands still, `mesh.timeout`
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
    // One that has been killed meanwhile needs no waking, and its pid may be somebody else's.
    await Promise.all(stopped.map(async (process) => signalProcess(process, 'SIGCONT')));
  }
}

async function stop(target: ProcessIdentity, stopped: ProcessIdentity[]): Promise<void> {
  // Noted before: nothing may stay stopped that is not on the list.
  stopped.push(target);
  await signalProcess(target, 'SIGSTOP');
}

/** The signal is only on its way when kill(2) returns: until it has arrived the process may still fork. */
async function untilStill(target: ProcessIdentity, timeoutMs: number): Promise<void> {
  await until({ what: `process ${target.pid} to stand still`, timeoutMs, pollMs }, async () => {
    if (!(await isAlive(target)))
      throw new MeshError('chaos.missed', `process ${target.pid} ended before it stood still`);
    return (await listProcesses()).some(({ pid, state }) => pid === target.pid && isStill(state));
  });
}

/** A parent that stands still makes no more children, and its dead ones keep their pids: each is stopped once. */
async function stopChildren(
  parent: ProcessIdentity,
  stopped: ProcessIdentity[],
  timeoutMs: number,
): Promise<void> {
  const known = new Set<number>();
  await until({ what: `the children of ${parent.pid} to stand still`, timeoutMs, pollMs }, async () => {
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

/** A process as the system lists it. */
export interface ListedProcess {
  pid: number;
  ppid: number;
  /** The first letter: `T` stands still, `Z` has ended (proc_pid_stat(5), ps(1)). */
  state: string;
}

const isStill = (state: string) => state === 'T';
const isDead = (state: string) => state === 'Z' || state === 'X';

/** All processes of this machine that can be seen. */
export async function listProcesses(): Promise<ListedProcess[]> {
  return existsSync('/proc/self/stat') ? listFromProc() : listFromPs();
}

async function listFromProc(): Promise<ListedProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const listed = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(undefinedIfGone);
      if (stat === undefined) return [];
      // The command stands in parentheses and may itself hold spaces and parentheses.
      const [state = '', ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(pid), ppid: Number(ppid), state }];
    }),
  );
  return listed.flat();
}

/** It has ended between two looks. */
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
