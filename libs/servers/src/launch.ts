/** Starting a server as a child of ours, and everything about its end. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import {
  commandLine,
  identify,
  sendSignal,
  signalProcess,
  waitForEnd,
  type ProcessIdentity,
} from './processes.ts';

/** How a process ended. */
export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What every server that runs has. */
export interface RunningServer extends ProcessIdentity {
  port: number;
  dataDir: string;
  logFile: string;
  version: string;
  /** Settles when the process has ended, for whatever reason. */
  exited: Promise<ServerExit>;
  /** An orderly end. Idempotent. */
  stop(): Promise<void>;
  /** kill -9; returns when it has ended. */
  kill(): Promise<void>;
  /** SIGSTOP: it is there and says nothing. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
}

/** What every start takes. */
export interface ServerOptions {
  dataDir: string;
  /** 0 or left out: a free one. */
  port?: number;
  /** The server's log; `<dataDir>.log` if left out. */
  logFile?: string;
  /** One line for people: what is fetched, what is being waited for. */
  onNotice?: (line: string) => void;
  /** A server that is still on the data folder is stopped first instead of refused. */
  replaceRunning?: boolean;
  /** Ends the server when this process ends, however it ends (kill -9 too). For tests. */
  endWithParent?: boolean;
  /** With `endWithParent`: a folder that is removed then. */
  scratchFolder?: string;
  startTimeoutMs?: number;
  /** Where unpacked programs are; `.mesh/tools` of this repository if left out. */
  toolsDir?: string;
}

const logBytesMax = 16 * 1024 * 1024;
const stopTimeoutMs = 20_000;
const pollIntervalMs = 25;
const lastLinesMax = 3;

/** Opens a server's log for appending, putting one that has grown large aside. `offset`: where this run's lines begin. */
export function openLog(file: string): { fd: number; offset: number } {
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > logBytesMax) renameSync(file, `${file}.1`);
  const offset = existsSync(file) ? statSync(file).size : 0;
  return { fd: openSync(file, 'a', 0o640), offset };
}

export interface LaunchOptions {
  /** For messages: `Redis`. */
  name: string;
  program: string;
  words: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  logFile: string;
  /** Names the process while it runs, for {@link findRunning}. */
  pidFile: string;
  /** Asked again and again until it says true. */
  isReady: () => Promise<boolean>;
  timeoutMs: number;
  endWithParent: boolean;
  scratchFolder?: string | undefined;
}

/** Either a server that is ready, or why there is none. */
export type LaunchResult = { child: ChildProcess } | LaunchFailure;

export interface LaunchFailure {
  /** For people: the end of the log. */
  reason: string;
  /** What this run wrote to the log: for decisions. */
  log: string;
}

/** Starts the program and waits until it is ready; one that ends or does not get ready in time is gone when this returns. */
export async function launch(options: LaunchOptions): Promise<LaunchResult> {
  const { program, words, env, cwd, logFile, pidFile } = options;
  const log = openLog(logFile);
  const spawnOptions: SpawnOptions = {
    env,
    cwd,
    // Its own process group: a Ctrl-C in the terminal is the supervisor's to pass on.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  };
  const child = spawn(program, words, spawnOptions);
  closeSync(log.fd);
  if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
  child.unref();
  if (options.endWithParent) endWithParent(child, 'KILL', options.scratchFolder);
  const written = () => readFileSync(logFile).subarray(log.offset).toString();
  const failed = new Promise<LaunchFailure>((resolve) => {
    child.once('error', (error) => resolve({ reason: error.message, log: '' }));
    child.once('exit', () => resolve({ reason: lastWords(written(), logFile), log: written() }));
  });
  const outcome = await Promise.race([failed, untilReady(child, options)]);
  if (outcome === true) return { child };
  if (outcome !== false) return outcome;
  const identity = await identify(child.pid ?? 0);
  child.kill('SIGKILL');
  if (identity !== undefined) await waitForEnd(identity, stopTimeoutMs);
  return { reason: `it does not answer; see ${logFile}`, log: written() };
}

async function untilReady(child: ChildProcess, options: LaunchOptions): Promise<boolean> {
  const deadline = Date.now() + options.timeoutMs;
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if (await options.isReady()) return true;
    await delay(pollIntervalMs);
  }
  return false;
}

/** Why a server ended: Java's last exception, else the last lines of what was written. */
function lastWords(text: string, logFile: string): string {
  const lines = text.trim().split('\n');
  const exception = lines.findLast((line) => /^[\w.$]+(Exception|Error): /.test(line));
  return `${exception ?? lines.slice(-lastLinesMax).join('\n')}; see ${logFile}`;
}

/** Settles when the child has ended. */
export function exitOf(child: ChildProcess): Promise<ServerExit> {
  return new Promise((resolve) => {
    const settle = (code: number | null, signal: NodeJS.Signals | null) => resolve({ code, signal });
    if (child.exitCode !== null || child.signalCode !== null) settle(child.exitCode, child.signalCode);
    else child.once('exit', settle);
  });
}

/**
 * The server that `pidFile` names, also one that a killed supervisor left behind; undefined if none runs. A process that only got
 * the pid of a dead server is none: its command line must hold `marker`.
 */
export async function findRunning(pidFile: string, marker: string): Promise<ProcessIdentity | undefined> {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, 'utf8').trim());
  const command = await commandLine(pid);
  return command?.includes(marker) === true ? identify(pid) : undefined;
}

/**
 * Deals with a server that is still there.
 * @throws MeshError `<code>.already_running`
 */
export async function clearTheWay(
  running: ProcessIdentity | undefined,
  options: { code: string; name: string; replaceRunning: boolean; dataDir: string },
): Promise<void> {
  if (running === undefined) return;
  if (!options.replaceRunning) {
    throw new MeshError(
      `${options.code}.already_running`,
      `a ${options.name} (pid ${running.pid}) already runs on ${options.dataDir}`,
    );
  }
  await shutDown(running, ['SIGTERM', 'SIGKILL'], options);
}

/**
 * Sends one signal after the other until the process has ended, each with its deadline.
 * @throws MeshError `<code>.stop_failed`
 */
export async function shutDown(
  server: ProcessIdentity,
  signals: readonly NodeJS.Signals[],
  { code, name }: { code: string; name: string },
): Promise<void> {
  // A stopped server (SIGSTOP) would never see what follows.
  await signalProcess(server, 'SIGCONT');
  for (const signal of signals) {
    await signalProcess(server, signal);
    if (await waitForEnd(server, stopTimeoutMs)) return;
  }
  throw new MeshError(`${code}.stop_failed`, `${name} (pid ${server.pid}) does not end`);
}

/**
 * The part of a running server that is the same for all: who it is, how it ends.
 * @throws MeshError `<code>.start_failed` if it ended meanwhile
 */
export async function runningServer(
  child: ChildProcess,
  about: { code: string; name: string; pidFile: string; logFile: string },
): Promise<ProcessIdentity & Pick<RunningServer, 'exited' | 'stop' | 'kill' | 'pause' | 'resume'>> {
  const identity = await identify(child.pid ?? 0);
  if (identity === undefined) {
    throw new MeshError(`${about.code}.start_failed`, `${about.name} ended at once; see ${about.logFile}`);
  }
  const exited = exitOf(child);
  // While it is being ended it must keep this process here, so that its end is seen.
  const ended = async () => {
    child.ref();
    await exited;
  };
  return {
    ...identity,
    exited,
    async stop() {
      await shutDown(identity, ['SIGTERM', 'SIGKILL'], about);
      await ended();
      rmSync(about.pidFile, { force: true });
    },
    async kill() {
      await signalProcess(identity, 'SIGKILL');
      await waitForEnd(identity, stopTimeoutMs);
      await ended();
    },
    async pause() {
      await signalProcess(identity, 'SIGSTOP');
    },
    async resume() {
      await signalProcess(identity, 'SIGCONT');
    },
  };
}

/**
 * Ends `child` and then removes `scratchFolder` when this process ends, however it ends: a shell waits for the end of its input, which
 * is this process's end. Called off when the child ends before.
 */
export function endWithParent(child: ChildProcess, signal: 'QUIT' | 'KILL', scratchFolder = ''): void {
  if (process.platform === 'win32' || child.pid === undefined) return;
  // Again while what is dying still writes there; bounded, because nobody is left to be told.
  const remove = 'n=0; until rm -rf "$1" || [ $n -ge 100 ]; do sleep 0.1; n=$((n+1)); done';
  const script = `read -r _; kill -${signal} "$0"; [ -z "$1" ] || { ${remove}; }`;
  const guard = spawn('/bin/sh', ['-c', script, String(child.pid), scratchFolder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  child.once('exit', () => {
    if (guard.pid !== undefined && guard.exitCode === null && guard.signalCode === null)
      sendSignal(guard.pid, 'SIGKILL');
  });
}
