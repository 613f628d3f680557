/** Starts a server as a child process, and finds, stops and kills it. */
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
import { sleep } from '@thermomesh/runtime';
import { serverError, type ServerKind } from './errors.ts';
import {
  commandLine,
  identify,
  sendSignal,
  signalProcess,
  waitForEnd,
  type ProcessIdentity,
} from './processes.ts';

/** A kind of server, and its name in messages to people. */
export interface ServerName {
  kind: ServerKind;
  name: string;
}

/** How a process ended. */
export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The handle of a running server. */
export interface RunningServer extends ProcessIdentity {
  port: number;
  dataDir: string;
  logFile: string;
  version: string;
  /** Resolves when the process has ended, for any reason. */
  exited: Promise<ServerExit>;
  /** Graceful shutdown. Idempotent. */
  stop(): Promise<void>;
  /** Sends SIGKILL and returns when the process has ended. */
  kill(): Promise<void>;
  /** Sends SIGSTOP: connections stay open, and nothing answers. */
  pause(): Promise<void>;
  /** Sends SIGCONT. */
  resume(): Promise<void>;
}

/** Options that every kind of server takes. */
export interface ServerOptions {
  dataDir: string;
  /** Default 0: a free port. */
  port?: number;
  /** The server's log. Default `<dataDir>.log`. */
  logFile?: string;
  /** Receives one line for people: what is fetched, or what the start waits for. */
  onNotice?: (line: string) => void;
  /** Stops a server that still runs on the data folder; without it the start is refused. */
  replaceRunning?: boolean;
  /** Ends the server when this process ends, kill -9 included. For tests. */
  endWithParent?: boolean;
  /** A folder that is removed when this process ends, if `endWithParent` is set. */
  scratchFolder?: string;
  startTimeoutMs?: number;
  /** Folder of unpacked programs. Default `.mesh/tools` of this repository. */
  toolsDir?: string;
}

const logBytesMax = 16 * 1024 * 1024;
const stopTimeoutMs = 20_000;
const pollIntervalMs = 25;
const lastLinesMax = 3;

/**
 * Opens a server's log for appending; a log that has grown large is renamed to `<file>.1` first.
 * `offset` is where this run's lines begin.
 */
export function openLog(file: string): { fd: number; offset: number } {
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > logBytesMax) renameSync(file, `${file}.1`);
  const offset = existsSync(file) ? statSync(file).size : 0;
  return { fd: openSync(file, 'a', 0o640), offset };
}

export interface LaunchOptions {
  program: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  logFile: string;
  /** Holds the pid while the process runs, for {@link findRunning}. */
  pidFile: string;
  /** Returns true once the server is ready; called repeatedly until then. */
  isReady: () => Promise<boolean>;
  timeoutMs: number;
  endWithParent: boolean;
  scratchFolder?: string | undefined;
}

/** A server that is ready, or the reason why it did not start. */
export type LaunchResult = { child: ChildProcess } | LaunchFailure;

export interface LaunchFailure {
  /** The end of the log, for people. */
  reason: string;
  /** Everything that this run wrote to the log, for decisions. */
  log: string;
}

/**
 * Starts the program and waits until it is ready. If it ends or does not become ready in time, no
 * process is left when this returns.
 */
export async function launch(options: LaunchOptions): Promise<LaunchResult> {
  const { program, args, env, cwd, logFile, pidFile } = options;
  const log = openLog(logFile);
  const spawnOptions: SpawnOptions = {
    env,
    cwd,
    // Its own process group: on Ctrl-C in the terminal the supervisor decides what to stop.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  };
  const child = spawn(program, args, spawnOptions);
  closeSync(log.fd);
  if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
  child.unref();
  if (options.endWithParent) endWithParent(child, 'KILL', options.scratchFolder);
  const written = () => readFileSync(logFile).subarray(log.offset).toString();
  const failed = new Promise<LaunchFailure>((resolve) => {
    child.once('error', (error) => resolve({ reason: error.message, log: '' }));
    child.once('exit', () => resolve({ reason: endReason(written(), logFile), log: written() }));
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
    await sleep(pollIntervalMs);
  }
  return false;
}

/** Why a server ended: Java's last exception, or else the last lines of its log. */
function endReason(text: string, logFile: string): string {
  const lines = text.trim().split('\n');
  const exception = lines.findLast((line) => /^[\w.$]+(Exception|Error): /.test(line));
  return `${exception ?? lines.slice(-lastLinesMax).join('\n')}; see ${logFile}`;
}

/** Resolves when the child has ended. */
export function exitOf(child: ChildProcess): Promise<ServerExit> {
  return new Promise((resolve) => {
    const settle = (code: number | null, signal: NodeJS.Signals | null) => resolve({ code, signal });
    if (child.exitCode !== null || child.signalCode !== null) settle(child.exitCode, child.signalCode);
    else child.once('exit', settle);
  });
}

/**
 * The server that `pidFile` names, including a server that a killed supervisor left running;
 * undefined if none runs. The system may have given the pid of a dead server to another process, so
 * the command line must contain `marker`.
 */
export async function findRunning(pidFile: string, marker: string): Promise<ProcessIdentity | undefined> {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, 'utf8').trim());
  const command = await commandLine(pid);
  return command?.includes(marker) === true ? identify(pid) : undefined;
}

/**
 * Stops a server that still runs on the data folder, or refuses the start.
 * @throws MeshError `<kind>.already_running`
 */
export async function clearTheWay(
  running: ProcessIdentity | undefined,
  options: ServerName & { replaceRunning: boolean; dataDir: string },
): Promise<void> {
  if (running === undefined) return;
  if (!options.replaceRunning) {
    throw serverError(
      `${options.kind}.already_running`,
      `a ${options.name} (pid ${running.pid}) already runs on ${options.dataDir}`,
    );
  }
  await shutDown(running, ['SIGTERM', 'SIGKILL'], options);
}

/**
 * Sends one signal after the other until the process has ended, and waits 20 s after each.
 * @throws MeshError `<kind>.stop_failed`
 */
export async function shutDown(
  server: ProcessIdentity,
  signals: readonly NodeJS.Signals[],
  { kind, name }: ServerName,
): Promise<void> {
  // A frozen server (SIGSTOP) does not handle the signals that follow.
  await signalProcess(server, 'SIGCONT');
  for (const signal of signals) {
    await signalProcess(server, signal);
    if (await waitForEnd(server, stopTimeoutMs)) return;
  }
  throw serverError(`${kind}.stop_failed`, `${name} (pid ${server.pid}) does not end`);
}

/**
 * The part of a server's handle that is the same for all kinds: its identity and its signals.
 * @throws MeshError `<kind>.start_failed` if the process has already ended
 */
export async function runningServer(
  child: ChildProcess,
  about: ServerName & { pidFile: string; logFile: string },
): Promise<ProcessIdentity & Pick<RunningServer, 'exited' | 'stop' | 'kill' | 'pause' | 'resume'>> {
  const identity = await identify(child.pid ?? 0);
  if (identity === undefined) {
    throw serverError(`${about.kind}.start_failed`, `${about.name} ended at once; see ${about.logFile}`, {
      retriable: false,
    });
  }
  const exited = exitOf(child);
  // The child keeps this process alive until its exit has been observed.
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
 * Ends `child` and then removes `scratchFolder` when this process ends, kill -9 included. A shell
 * reads from a pipe whose other end this process holds, and acts when the pipe closes. If the child
 * ends first, the shell is killed.
 */
export function endWithParent(child: ChildProcess, signal: 'QUIT' | 'KILL', scratchFolder = ''): void {
  if (process.platform === 'win32' || child.pid === undefined) return;
  // The dying process may still write there: repeated, but not without limit, because no process
  // is left to report a failure to.
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
