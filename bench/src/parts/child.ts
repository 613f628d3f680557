/**
 * Processes that the bench starts: unchanged programs of the product, and children of its own,
 * which answer calls.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { childEnvironment, repository } from '../config.ts';
import { benchError } from '../errors.ts';
import type { Answer } from '../children/serve.ts';
import type { Scope } from './scope.ts';

const readyTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const logTailChars = 2000;

export interface Program {
  name: string;
  /** Relative to the repository. */
  script: string;
  env?: Record<string, string>;
  /** Receives its output. */
  logFile: string;
  /** Options of Node itself, such as `--cpu-prof`. */
  nodeWords?: readonly string[];
  /** Stops with SIGTERM, because Node writes profiles at a graceful end; without it SIGKILL. */
  graceful?: boolean;
}

export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** The message that it sent when it was ready. */
  readonly ready: Record<string, unknown>;
  signal(signal: NodeJS.Signals): void;
  /** Ends the program, and resolves when it has ended. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a program and waits until it reports that it is ready.
 * @throws MeshError `bench.start_failed` with the end of its log
 */
export async function startProgram(scope: Scope, program: Program): Promise<RunningProgram> {
  const log = openSync(program.logFile, 'a');
  const words = [...(program.nodeWords ?? []), path.join(repository, program.script)];
  const child = spawn(process.execPath, words, {
    env: { ...childEnvironment(), ...program.env },
    stdio: ['ignore', log, log, 'ipc'],
    // A Ctrl-C in the terminal reaches the bench alone, which ends its children.
    detached: true,
  });
  closeSync(log);
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async () => endChild(child, exited, program.graceful === true);
  scope.onEnd(stop);
  const ready = await readiness(child, program);
  return {
    name: program.name,
    pid: child.pid ?? 0,
    child,
    ready,
    stop,
    signal: (signal) => void child.kill(signal),
  };
}

async function readiness(child: ChildProcess, { name, logFile }: Program): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  const fail = (why: string) =>
    reject(
      benchError(
        'bench.start_failed',
        `${name} ${why}:\n${readFileSync(logFile, 'utf8').slice(-logTailChars)}`,
      ),
    );
  const timer = setTimeout(() => fail('was not ready in time'), readyTimeoutMs);
  const onExit = () => fail('ended at once');
  const onMessage = (message: unknown) => {
    if (isRecord(message) && message['ready'] === true) resolve(message);
  };
  child.on('message', onMessage);
  child.once('error', (error) => fail(error.message));
  child.once('exit', onExit);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    child.off('exit', onExit);
    child.off('message', onMessage);
  }
}

async function endChild(child: ChildProcess, exited: Promise<void>, graceful: boolean): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGCONT');
    child.kill(graceful ? 'SIGTERM' : 'SIGKILL');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await exited;
    clearTimeout(timer);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** A child of the bench that answers calls. */
export interface Callee extends RunningProgram {
  /** Calls a handler of the child. @throws MeshError `bench.child_failed` */
  call<T>(name: string, args?: unknown): Promise<T>;
}

/** Starts a program that answers calls (`children/serve.ts`). */
export async function startCallee(scope: Scope, program: Program): Promise<Callee> {
  const running = await startProgram(scope, program);
  const { child, name } = running;
  const open = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', (message) => {
    const { id, result, error } = message as Answer;
    const call = open.get(id);
    open.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(benchError('bench.child_failed', `${name}: ${error}`));
  });
  child.once('exit', (code, signal) => {
    for (const { reject } of open.values())
      reject(benchError('bench.child_failed', `${name} ended with ${signal ?? `exit ${code}`}`));
  });
  return {
    ...running,
    call: async <T>(call: string, args: unknown = null) =>
      new Promise<T>((resolve, reject) => {
        const id = ++lastId;
        open.set(id, { resolve: resolve as (result: unknown) => void, reject });
        child.send({ id, call, args });
      }),
  };
}
