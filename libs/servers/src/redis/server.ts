/** Starts and stops Redis servers; a server can be started again on the same data. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { searchPath, toolsDirDefault } from '../config.ts';
import { defineServer } from '../define-server.ts';
import type { RunningServer, ServerOptions } from '../launch.ts';
import type { ProcessIdentity } from '../processes.ts';
import { findRedis, type RedisBinaries } from './binaries.ts';
import { probeRedis } from './probe.ts';

export interface RedisOptions extends ServerOptions {
  /** Default: a random password, made at the first start and kept in `<dataDir>.password`. */
  password?: string;
  /** Server settings that override {@link redisSettings}. */
  settings?: Record<string, string>;
}

/** A running server. */
export interface RedisServer extends RunningServer {
  /** Contains the password: for processes, never for logs. */
  url: string;
}

/** Settings of the servers that the mesh starts. */
export const redisSettings: Readonly<Record<string, string>> = {
  bind: '127.0.0.1',
  'protected-mode': 'yes',
  // No Unix socket in a folder that other users share.
  unixsocket: '""',
  daemonize: 'no',
  // Each write is on disk in the log before it is answered; snapshots would only be older.
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  save: '""',
  // A last entry that kill -9 left half-written was not answered yet.
  'aof-load-truncated': 'yes',
  // Jobs are not a cache: at the limit writes fail and nothing is evicted.
  maxmemory: '512mb',
  'maxmemory-policy': 'noeviction',
  'tcp-keepalive': '30',
  // The command line must keep the configuration file, which identifies a left-over server.
  'set-proc-title': 'no',
  loglevel: 'notice',
  logfile: '""',
};

const startTimeoutDefaultMs = 60_000;
const probeTimeoutMs = 2_000;

const redis = defineServer<RedisOptions, RedisBinaries, RedisServer>({
  kind: 'redis',
  name: 'Redis',
  startTimeoutDefaultMs,
  configFile: configFileOf,
  find: async ({ toolsDir = toolsDirDefault, onNotice }) =>
    findRedis({ toolsDir, searchPath: searchPath(), ...(onNotice === undefined ? {} : { onNotice }) }),
  command(binaries, { dataDir, settings = {}, password: given }, port) {
    const password = given ?? ownPassword(`${dataDir}.password`);
    writeConfiguration({ dataDir, port, password, settings });
    return {
      program: binaries.server,
      args: [configFileOf(dataDir)],
      // A small environment: the server inherits none of the caller's variables.
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...binaries.env },
      isReady: async () => (await probeRedis(port, password, probeTimeoutMs)) === 'ready',
      version: binaries.version,
      extra: { url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/0` },
    };
  },
});

/**
 * Starts a server on `dataDir` and returns when it answers. After a kill -9 it first replays its
 * log.
 * @throws MeshError `redis.absent`, `redis.already_running`, `redis.start_failed`
 */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  return redis.start(options);
}

/**
 * Stops the server that runs on `dataDir`, no matter which process started it.
 * @returns false if none runs there
 */
export async function stopRedis(dataDir: string): Promise<boolean> {
  return redis.stop(dataDir);
}

/** The server process that runs on `dataDir`; undefined if there is none. */
export async function findRunningRedis(dataDir: string): Promise<ProcessIdentity | undefined> {
  return redis.findRunning(dataDir);
}

interface Configuration {
  dataDir: string;
  port: number;
  password: string;
  settings: Record<string, string>;
}

/**
 * The password is in the file and not on the command line, which every user of the machine can
 * read.
 */
function writeConfiguration({ dataDir, port, password, settings }: Configuration): void {
  const all = { ...redisSettings, ...settings, port: String(port), dir: quoted(dataDir) };
  const lines = Object.entries(all).map(([name, value]) => `${name} ${value}`);
  const file = configFileOf(dataDir);
  // The mode applies only to a new file.
  rmSync(file, { force: true });
  writeFileSync(file, `${lines.join('\n')}\nrequirepass ${quoted(password)}\n`, { mode: 0o600 });
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/** A random password, made at the first start and kept in a file that only its owner may read. */
function ownPassword(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
}

function configFileOf(dataDir: string): string {
  return `${dataDir}.conf`;
}
