/** One Redis server of our own: started on a data folder, stopped, killed, started again on the same data. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@thermomesh/runtime';
import { searchPath, toolsDirDefault } from '../config.ts';
import {
  clearTheWay,
  findRunning,
  launch,
  runningServer,
  shutDown,
  type LaunchFailure,
  type RunningServer,
  type ServerOptions,
} from '../launch.ts';
import { freeLastingPort } from '../ports.ts';
import type { ProcessIdentity } from '../processes.ts';
import { findRedis, type RedisBinaries } from './binaries.ts';
import { probeRedis } from './probe.ts';

export interface RedisOptions extends ServerOptions {
  /** Made at random the first time, and kept in `<dataDir>.password`, if left out. */
  password?: string;
  /** Server settings over {@link redisSettings}. */
  settings?: Record<string, string>;
}

/** A server that runs. */
export interface RedisServer extends RunningServer {
  /** With the password: for processes, never for logs. */
  url: string;
}

/** What the mesh's own server is started with. */
export const redisSettings: Readonly<Record<string, string>> = {
  bind: '127.0.0.1',
  'protected-mode': 'yes',
  // No socket in a folder that others share.
  unixsocket: '""',
  daemonize: 'no',
  // The log of every write is on disk before its answer leaves; snapshots would only be older.
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  save: '""',
  // What a kill -9 left half-written at the end was not answered yet.
  'aof-load-truncated': 'yes',
  // Jobs are not a cache: at the limit writes fail, nothing is thrown away.
  maxmemory: '512mb',
  'maxmemory-policy': 'noeviction',
  'tcp-keepalive': '30',
  // The command line names the configuration, by which a server that was left behind is known.
  'set-proc-title': 'no',
  loglevel: 'notice',
  logfile: '""',
};

const about = { code: 'redis', name: 'Redis' };
const startTimeoutDefaultMs = 60_000;
const probeTimeoutMs = 2_000;
const startAttemptsMax = 3;

/**
 * Starts a server on `dataDir` and returns when it answers. After a kill -9 it reads its log again first.
 * @throws MeshError `redis.absent`, `redis.already_running`, `redis.start_failed`
 */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const dataDir = path.resolve(options.dataDir);
  const { onNotice } = options;
  const binaries = await findRedis({
    toolsDir: options.toolsDir ?? toolsDirDefault,
    searchPath: searchPath(),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  await clearTheWay(await findRunningRedis(dataDir), {
    ...about,
    replaceRunning: options.replaceRunning ?? false,
    dataDir,
  });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const password = options.password ?? ownPassword(`${dataDir}.password`);
  const wanted = options.port ?? 0;
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 0 ? await freeLastingPort() : wanted;
    const outcome = await tryPort(binaries, { ...options, dataDir, password }, port);
    if (!('reason' in outcome)) return outcome;
    const portTaken = wanted === 0 && /Address already in use/.test(outcome.log);
    if (portTaken && attempt < startAttemptsMax) continue;
    throw new MeshError('redis.start_failed', `Redis did not start on port ${port}: ${outcome.reason}`);
  }
}

/**
 * Stops the server that runs on `dataDir`, whoever started it.
 * @returns false if none runs there
 */
export async function stopRedis(dataDir: string): Promise<boolean> {
  const running = await findRunningRedis(dataDir);
  if (running === undefined) return false;
  await shutDown(running, ['SIGTERM', 'SIGKILL'], about);
  return true;
}

/** Which server runs on `dataDir`, if any. */
export async function findRunningRedis(dataDir: string): Promise<ProcessIdentity | undefined> {
  const folder = path.resolve(dataDir);
  return findRunning(pidFileOf(folder), configFileOf(folder));
}

async function tryPort(
  binaries: RedisBinaries,
  options: RedisOptions & { password: string },
  port: number,
): Promise<RedisServer | LaunchFailure> {
  const { dataDir, password } = options;
  const logFile = path.resolve(options.logFile ?? `${dataDir}.log`);
  writeConfiguration(dataDir, port, password, options.settings ?? {});
  const pidFile = pidFileOf(dataDir);
  const result = await launch({
    name: about.name,
    program: binaries.server,
    words: [configFileOf(dataDir)],
    // A small environment: nothing of the caller's reaches the server.
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...binaries.env },
    cwd: dataDir,
    logFile,
    pidFile,
    endWithParent: options.endWithParent ?? false,
    scratchFolder: options.scratchFolder,
    isReady: async () => (await probeRedis(port, password, probeTimeoutMs)) === 'ready',
    timeoutMs: options.startTimeoutMs ?? startTimeoutDefaultMs,
  });
  if ('reason' in result) return result;
  return {
    ...(await runningServer(result.child, { ...about, pidFile, logFile })),
    url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/0`,
    port,
    dataDir,
    logFile,
    version: binaries.version,
  };
}

/** The password stands in the file, not on the command line, which every user of the machine can read. */
function writeConfiguration(
  dataDir: string,
  port: number,
  password: string,
  settings: Record<string, string>,
): void {
  const all = { ...redisSettings, ...settings, port: String(port), dir: quoted(dataDir) };
  const lines = Object.entries(all).map(([name, value]) => `${name} ${value}`);
  const file = configFileOf(dataDir);
  // The mode counts only for a new file.
  rmSync(file, { force: true });
  writeFileSync(file, `${lines.join('\n')}\nrequirepass ${quoted(password)}\n`, { mode: 0o600 });
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/** Made at random the first time, kept in a file that only its owner may read. */
function ownPassword(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
}

function configFileOf(dataDir: string): string {
  return `${dataDir}.conf`;
}

function pidFileOf(dataDir: string): string {
  return `${dataDir}.pid`;
}
