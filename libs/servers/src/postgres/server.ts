/** One PostgreSQL server of our own: started on a data folder, stopped, killed, started again on the same data. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import { endWithParent, exitOf, openLog, type ServerExit } from '../launch.ts';
import { freeLastingPort } from '../ports.ts';
import { commandLine, identify, signalProcess, waitForEnd, type ProcessIdentity } from '../processes.ts';
import {
  clusterPassword,
  initialise,
  isInitialised,
  postgresDatabase,
  postgresUser,
  spawnIdentity,
} from './cluster.ts';
import { findRunningPostgres, isPostmasterOf, parsePostmasterFile } from './pid-file.ts';
import { choosePlace, type PostgresPlace } from './place.ts';
import { probePostgres } from './probe.ts';

export interface PostgresOptions {
  /** Where the data should be; `choosePlace` may have to put them elsewhere. */
  dataDir: string;
  /** 0 or left out: a free one. */
  port?: number;
  /** The server's log; `<dataDir>.log` if left out. */
  logFile?: string;
  /** One line for people: where data were put, what is being waited for. */
  onNotice?: (line: string) => void;
  /** Server settings over {@link defaultSettings}. */
  settings?: Record<string, string>;
  /** A server that is still on the data folder is stopped first instead of refused. */
  replaceRunning?: boolean;
  /** Ends the server when this process ends, however it ends (kill -9 too). For tests. */
  endWithParent?: boolean;
  /** False leaves out the fsync of `initdb` (not the server's own). For tests. */
  durableInit?: boolean;
  startTimeoutMs?: number;
}

/** A server that runs. */
export interface PostgresServer extends ProcessIdentity {
  /** With the password: for processes, never for logs. */
  url: string;
  port: number;
  /** Where the data really are. */
  dataDir: string;
  logFile: string;
  /** As npm names it, such as `18.4.0-beta.17`. */
  version: string;
  /** Settles when the process has ended, for whatever reason. */
  exited: Promise<ServerExit>;
  /** Fast shutdown: sessions are ended, a checkpoint is written. Idempotent. */
  stop(): Promise<void>;
  /** kill -9 of the postmaster; returns when it has ended. */
  kill(): Promise<void>;
}

/** What the mesh's own server is started with. Acked means stored: fsync and synchronous_commit stay on (I1). */
export const defaultSettings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  // No socket in a folder that others share, and no path that may be too long.
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  fsync: 'on',
  synchronous_commit: 'on',
  // For whoever does not set a shorter one: the nodes do, so that a paused writer holds up nobody (I2).
  idle_in_transaction_session_timeout: '10s',
  // A client that is gone without a word is noticed.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] ',
};

const startTimeoutDefaultMs = 60_000;
const stopTimeoutMs = 20_000;
const probeTimeoutMs = 2_000;

/**
 * Starts a server on `dataDir`, making the cluster first if there is none, and returns when it takes connections. After a kill -9
 * it recovers from its log; the killed server's own processes may linger for a moment, which is waited for.
 * @throws MeshError `postgres.already_running`, `postgres.start_failed`, `postgres.init_failed`, and those of `choosePlace`
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const place = await choosePlace({ dataDir: options.dataDir });
  if (place.notice !== undefined) options.onNotice?.(place.notice);
  await clearTheWay(place, options);
  const password = clusterPassword(`${path.resolve(options.dataDir)}.password`, place);
  if (!isInitialised(place)) await initialise(place, password, options.durableInit ?? true);
  const logFile = path.resolve(options.logFile ?? `${path.resolve(options.dataDir)}.log`);
  const deadline = Date.now() + (options.startTimeoutMs ?? startTimeoutDefaultMs);
  for (;;) {
    const port = options.port === undefined || options.port === 0 ? await freeLastingPort() : options.port;
    const attempt = await launch(place, port, logFile, options, deadline);
    if ('child' in attempt) return describe(attempt.child, place, port, logFile, password);
    if (!attempt.retry || Date.now() > deadline) {
      throw new MeshError(
        'postgres.start_failed',
        `PostgreSQL did not start on port ${port}: ${attempt.reason}`,
      );
    }
    options.onNotice?.('PostgreSQL: processes of the killed server are still ending, trying again');
    await delay(200);
  }
}

/**
 * Stops the server that runs on `dataDir`, whoever started it.
 * @returns false if none runs there
 */
export async function stopPostgres(dataDir: string): Promise<boolean> {
  const running = await findRunningPostgres(dataDir);
  if (running === undefined) return false;
  await shutDown(running);
  return true;
}

/** Fast, then immediate, then by force: each with its deadline (postgres(1): SIGINT, SIGQUIT). */
async function shutDown(server: ProcessIdentity): Promise<void> {
  // A stopped server (SIGSTOP) would never see what follows.
  await signalProcess(server, 'SIGCONT');
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    await signalProcess(server, signal);
    if (await waitForEnd(server, stopTimeoutMs)) return;
  }
  throw new MeshError('postgres.stop_failed', `PostgreSQL (pid ${server.pid}) does not end`);
}

/** Deals with a server that is still there, and with a pid file whose pid somebody else has got meanwhile. */
async function clearTheWay(place: PostgresPlace, options: PostgresOptions): Promise<void> {
  const running = await findRunningPostgres(options.dataDir);
  if (running !== undefined) {
    if (options.replaceRunning !== true) {
      throw new MeshError(
        'postgres.already_running',
        `a server (pid ${running.pid}) already runs on ${place.dataDir}`,
      );
    }
    await shutDown(running);
  }
  const file = path.join(place.dataDir, 'postmaster.pid');
  if (!existsSync(file)) return;
  const entry = parsePostmasterFile(readFileSync(file, 'utf8'));
  const command = entry === undefined ? undefined : await commandLine(entry.pid);
  // The server itself removes the file of a dead pid, but takes any living process for a server.
  if (command !== undefined && !isPostmasterOf(command, place.dataDir)) rmSync(file, { force: true });
}

type Attempt = { child: ChildProcess } | { retry: boolean; reason: string };

async function launch(
  place: PostgresPlace,
  port: number,
  logFile: string,
  options: PostgresOptions,
  deadline: number,
): Promise<Attempt> {
  const settings = Object.entries({ ...defaultSettings, ...options.settings });
  const words = [
    '-D',
    place.dataDir,
    '-p',
    String(port),
    ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const log = openLog(logFile);
  const child = spawn(place.binaries.postgres, words, {
    ...spawnIdentity(place),
    // Its own process group: a Ctrl-C in the terminal is the supervisor's to pass on.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  closeSync(log.fd);
  child.unref();
  if (options.endWithParent === true) endWithParent(child, 'QUIT');
  const failed = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', () => resolve(readFileSync(logFile, 'utf8').slice(log.offset).trim()));
  });
  const outcome = await Promise.race([failed, untilAccepting(child, port, deadline)]);
  if (outcome === true) return { child };
  if (outcome === false) {
    child.kill('SIGKILL');
    return { retry: false, reason: `it takes no connections; see ${logFile}` };
  }
  const anyPort = options.port === undefined || options.port === 0;
  const lingering = /pre-existing shared memory block|lock file "postmaster.pid" already exists/.test(
    outcome,
  );
  const portTaken = anyPort && /Address already in use/.test(outcome);
  return { retry: lingering || portTaken, reason: outcome };
}

async function untilAccepting(child: ChildProcess, port: number, deadline: number): Promise<boolean> {
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if ((await probePostgres(port, probeTimeoutMs)) === 'accepting') return true;
    await delay(25);
  }
  return false;
}

async function describe(
  child: ChildProcess,
  place: PostgresPlace,
  port: number,
  logFile: string,
  password: string,
): Promise<PostgresServer> {
  const identity = await identify(child.pid ?? 0);
  if (identity === undefined)
    throw new MeshError('postgres.start_failed', `PostgreSQL ended at once; see ${logFile}`);
  const exited = exitOf(child);
  return {
    ...identity,
    url: `postgresql://${postgresUser}:${password}@127.0.0.1:${port}/${postgresDatabase}`,
    port,
    dataDir: place.dataDir,
    logFile,
    version: place.binaries.version,
    exited,
    async stop() {
      await shutDown(identity);
    },
    async kill() {
      await signalProcess(identity, 'SIGKILL');
      await waitForEnd(identity, stopTimeoutMs);
    },
  };
}
