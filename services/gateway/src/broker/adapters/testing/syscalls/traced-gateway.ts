/** A gateway in a process of its own whose system calls are recorded. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { findStrace, type Strace } from '@thermomesh/servers';
import { testEnvironment } from '../../../../testing.ts';
import { readActivity, tracedCalls, type Activity } from './activity.ts';

/** Longer than any write of the tests: a string that is cut off is an error. */
const stringBytesMax = 32 * 1024 * 1024;

/** A gateway under strace. */
export interface TracedGateway {
  mqttPort: number;
  httpPort: number;
  /** Folder of the gateway, as DATA_DIR names it. */
  folder: string;
  /** Stops the gateway by SIGTERM, and reads what it did. */
  stop(): Promise<Activity>;
}

/**
 * Starts a gateway whose DATA_DIR is `data` below `folder`; the trace lies beside it.
 * @param searchPath as in `PATH`: where strace is looked for first
 */
export async function startTraced(t: TestContext, folder: string, searchPath = ''): Promise<TracedGateway> {
  const strace = await requireStrace(searchPath);
  const traceFile = path.join(folder, 'trace');
  const data = path.join(folder, 'data');
  const child = spawn(strace.program, argumentsFor(strace, traceFile), {
    // Writes to files through io_uring would be in no trace.
    env: { ...testEnvironment(data), ...strace.env, UV_USE_IO_URING: '0' },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  child.stdout!.resume();
  const gone = once(child, 'exit');
  t.after(() => endTraced(child, traceFile));
  const [{ mqttPort, httpPort }] = (await Promise.race([once(child, 'message'), ended(gone)])) as [
    { mqttPort: number; httpPort: number },
  ];
  return {
    mqttPort,
    httpPort,
    folder: data,
    async stop() {
      process.kill(tracedPid(traceFile), 'SIGTERM');
      await gone;
      return readActivity(readFileSync(traceFile, 'utf8'), path.join(data, 'store', 'data.mdb'));
    },
  };
}

async function requireStrace(searchPath: string): Promise<Strace> {
  const toolsDir = path.resolve(import.meta.dirname, '../../../../../../../.mesh/tools');
  const found = await findStrace(toolsDir, searchPath);
  if ('missing' in found) throw new Error(found.missing);
  return found;
}

function argumentsFor({ env }: Strace, traceFile: string): string[] {
  const main = path.join(import.meta.dirname, '../../../../main.ts');
  // Variables that only strace itself needs do not reach the gateway.
  const hidden = Object.keys(env).flatMap((name) => ['-E', name]);
  const recorded = ['-e', `trace=${tracedCalls.join(',')}`, '-xx', '-s', String(stringBytesMax)];
  return ['-f', '--seccomp-bpf', '-o', traceFile, ...hidden, ...recorded, process.execPath, main];
}

async function ended(gone: Promise<unknown[]>): Promise<never> {
  throw new Error(`strace ended before the gateway was ready, with ${String((await gone)[0])}`);
}

/** strace ignores signals while it writes into a file, so they go to the traced process. */
function tracedPid(traceFile: string): number {
  return Number(/^\d+/.exec(readFileSync(traceFile, 'utf8'))?.[0]);
}

function endTraced(child: ChildProcess, traceFile: string): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const pid = tracedPid(traceFile);
  if (pid > 0) process.kill(pid, 'SIGKILL');
  child.kill('SIGKILL');
}
