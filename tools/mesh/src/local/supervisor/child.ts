/** Starts and stops a process that is a Node program of this repository. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, statSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { identify, signalProcess, waitForEnd, type ProcessIdentity } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import type { Launched, ProcessExit } from './spec.ts';

/** Marks every process of a mesh, so that one that is missing in the run file can be found. */
export const markName = 'THERMOMESH_STATE';

export interface NodeProgram {
  script: string;
  args?: string[];
  env: Record<string, string>;
  /** The state folder of the mesh, which is the value of the mark. */
  stateDir: string;
  logFile: string;
  /** Asked once the process has reported that it is ready; a 2xx answer confirms it. */
  readyUrl?: string;
  stopTimeoutMs: number;
}

const killTimeoutMs = 10_000;
const readyPollMs = 50;
const readyAnswerTimeoutMs = 2_000;
/** Size from which a log is moved to `<file>.1`. */
export const logBytesMax = 16 * 1024 * 1024;

/**
 * Starts the program in its own process group, because the supervisor passes on a Ctrl-C in the
 * terminal. It writes straight to its log file, so it neither ends nor blocks when the supervisor
 * does.
 */
export async function launchNode(program: NodeProgram): Promise<Launched> {
  mkdirSync(path.dirname(program.logFile), { recursive: true });
  const log = openSync(program.logFile, 'a', 0o640);
  const child = spawn(process.execPath, [program.script, ...(program.args ?? [])], {
    detached: true,
    env: { ...program.env, [markName]: program.stateDir },
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: null, signal: null }));
  });
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (identity === undefined) {
    await exited;
    throw meshError(
      'process.start_failed',
      `${path.basename(program.script)} ended at once; its log: ${program.logFile}`,
    );
  }
  return {
    ...identity,
    exited,
    ready: whenReady(child, program.readyUrl),
    stop: async () => endProcess(identity, program.stopTimeoutMs, exited),
  };
}

/**
 * Sends SIGTERM, and SIGKILL after the deadline. A stopped process (SIGSTOP) gets SIGCONT, so that
 * it can handle SIGTERM.
 */
export async function endProcess(
  target: ProcessIdentity,
  stopTimeoutMs: number,
  exited?: Promise<unknown>,
): Promise<void> {
  await signalProcess(target, 'SIGTERM');
  await signalProcess(target, 'SIGCONT');
  if (!(await waitForEnd(target, stopTimeoutMs))) {
    await signalProcess(target, 'SIGKILL');
    if (!(await waitForEnd(target, killTimeoutMs))) {
      throw meshError('process.stop_failed', `process ${target.pid} does not end`);
    }
  }
  await exited;
}

async function whenReady(child: ChildProcess, readyUrl: string | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && message !== null && 'ready' in message && message.ready === true)
        resolve();
    });
  });
  while (readyUrl !== undefined && !(await answersOk(readyUrl))) {
    // Its successor will answer at the same address, so this process never becomes ready.
    if (child.exitCode !== null || child.signalCode !== null) await new Promise<never>(() => undefined);
    await delay(readyPollMs, undefined, { ref: false });
  }
}

async function answersOk(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(readyAnswerTimeoutMs) }).then(
    async (answer) => {
      await answer.body?.cancel();
      return answer.ok;
    },
    () => false,
  );
}

/**
 * Moves a log that has grown too long to `<file>.1` and empties it. The process keeps writing to
 * the file, which is open for appending. Lines of that very moment may be cut.
 */
export function rotateLog(file: string, bytesMax = logBytesMax): boolean {
  if (!existsSync(file) || statSync(file).size <= bytesMax) return false;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
  return true;
}
