/** Starts and stops PostgreSQL servers; a server can be started again on the same data. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describePortHolder, sleep } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import { endWithParent, exitOf, openLog, shutDown, type ServerExit } from '../launch.ts';
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
  /** Default 0: a free port. */
  port?: number;
  /** The server's log. Default `<dataDir>.log`. */
  logFile?: string;
  /** Receives one line for people: where the data were put, or what the start waits for. */
  onNotice?: (line: string) => void;
  /** Server settings that override {@link defaultSettings}. */
  settings?: Record<string, string>;
  /** Stops a server that still runs on the data folder; without it the start is refused. */
  replaceRunning?: boolean;
  /** Ends the server when this process ends, kill -9 included. For tests. */
  endWithParent?: boolean;
  /** False skips the fsync of `initdb`, not that of the server. For tests. */
  durableInit?: boolean;
  startTimeoutMs?: number;
}

/** A running server. */
export interface PostgresServer extends ProcessIdentity {
  /** Contains the password: for processes, never for logs. */
  url: string;
  port: number;
  /** The folder that contains the data. */
  dataDir: string;
  logFile: string;
  /** The version of the npm package, such as `18.4.0-beta.17`. */
  version: string;
  /** Resolves when the process has ended, for any reason. */
  exited: Promise<ServerExit>;
  /** Fast shutdown: ends the sessions and writes a checkpoint. Idempotent. */
  stop(): Promise<void>;
  /** Sends SIGKILL to the postmaster and returns when it has ended. */
  kill(): Promise<void>;
}

/**
 * Settings of the servers that the mesh starts. Acknowledged means stored: fsync and
 * synchronous_commit stay on (I1).
 */
export const defaultSettings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  // No Unix socket in a folder that other users share, and no path that may be too long.
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  fsync: 'on',
  synchronous_commit: 'on',
  // For sessions without a limit of their own. The nodes set a shorter one, so that a paused writer
  // does not block its successor (I2).
  idle_in_transaction_session_timeout: '10s',
  // Finds out when a client has gone without closing its connection.
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
 * Starts a server on `dataDir` and returns when it accepts connections; makes the cluster first if
 * there is none. After a kill -9 the server recovers from its log. The start waits for processes of
 * the killed server that have not ended yet.
 * @throws MeshError `postgres.already_running`, `postgres.start_failed`, `postgres.init_failed`,
 *   and the errors of `choosePlace`
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
      throw serverError(
        'postgres.start_failed',
        attempt.portTaken
          ? `PostgreSQL did not start: port ${port} is taken by ${describePortHolder(port)}; end that process, or choose another port`
          : `PostgreSQL did not start on port ${port}: ${attempt.reason}`,
      );
    }
    options.onNotice?.('PostgreSQL: processes of the killed server are still ending, trying again');
    await sleep(200);
  }
}

/**
 * Stops the server that runs on `dataDir`, no matter which process started it.
 * @returns false if none runs there
 */
export async function stopPostgres(dataDir: string): Promise<boolean> {
  const running = await findRunningPostgres(dataDir);
  if (running === undefined) return false;
  await stopProcess(running);
  return true;
}

/** Fast shutdown, then immediate shutdown, then by force (postgres(1): SIGINT, SIGQUIT). */
async function stopProcess(server: ProcessIdentity): Promise<void> {
  await shutDown(server, ['SIGINT', 'SIGQUIT', 'SIGKILL'], { kind: 'postgres', name: 'PostgreSQL' });
}

/**
 * Stops a server that still runs on the data folder, or refuses the start; removes a pid file whose
 * pid belongs to another process by now.
 */
async function clearTheWay(place: PostgresPlace, options: PostgresOptions): Promise<void> {
  const running = await findRunningPostgres(options.dataDir);
  if (running !== undefined) {
    if (options.replaceRunning !== true) {
      throw serverError(
        'postgres.already_running',
        `a server (pid ${running.pid}) already runs on ${place.dataDir}`,
      );
    }
    await stopProcess(running);
  }
  const file = path.join(place.dataDir, 'postmaster.pid');
  if (!existsSync(file)) return;
  const entry = parsePostmasterFile(readFileSync(file, 'utf8'));
  const command = entry === undefined ? undefined : await commandLine(entry.pid);
  // The server itself removes the file of a dead pid, but takes every running process for a server.
  if (command !== undefined && !isPostmasterOf(command, place.dataDir)) rmSync(file, { force: true });
}

type Attempt = { child: ChildProcess } | { retry: boolean; portTaken: boolean; reason: string };

async function launch(
  place: PostgresPlace,
  port: number,
  logFile: string,
  options: PostgresOptions,
  deadline: number,
): Promise<Attempt> {
  const settings = Object.entries({ ...defaultSettings, ...options.settings });
  const args = [
    '-D',
    place.dataDir,
    '-p',
    String(port),
    ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const log = openLog(logFile);
  const child = spawn(place.binaries.postgres, args, {
    ...spawnIdentity(place),
    // Its own process group: on Ctrl-C in the terminal the supervisor decides what to stop.
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
    return { retry: false, portTaken: false, reason: `it accepts no connections; see ${logFile}` };
  }
  const anyPort = options.port === undefined || options.port === 0;
  const lingering = /pre-existing shared memory block|lock file "postmaster.pid" already exists/.test(
    outcome,
  );
  const portTaken = /Address already in use/.test(outcome);
  return { retry: lingering || (anyPort && portTaken), portTaken, reason: outcome };
}

async function untilAccepting(child: ChildProcess, port: number, deadline: number): Promise<boolean> {
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if ((await probePostgres(port, probeTimeoutMs)) === 'accepting') return true;
    await sleep(25);
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
    throw serverError('postgres.start_failed', `PostgreSQL ended at once; see ${logFile}`);
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
      await stopProcess(identity);
    },
    async kill() {
      await signalProcess(identity, 'SIGKILL');
      await waitForEnd(identity, stopTimeoutMs);
    },
  };
}
