/** Finds Redis: on PATH, or else in Debian's packages, which are unpacked into a folder. */
import { execFile } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { codeOf, messageOf } from '@thermomesh/runtime';
import { serverError } from '../errors.ts';
import { libraryPath, unpackDebian } from '../tools/debian.ts';
import { onPath } from '../tools/search-path.ts';

const run = promisify(execFile);

/** The server program and the environment that it needs. */
export interface RedisBinaries {
  server: string;
  env: Record<string, string>;
  /** The version, such as `7.0.15`. */
  version: string;
  /** Where it comes from, for people. */
  origin: string;
}

export interface FindOptions {
  toolsDir: string;
  /** As in `PATH`. */
  searchPath: string;
  onNotice?: (line: string) => void;
}

/**
 * `redis-tools` starts no system service, unlike `redis-server`; bare systems lack the libraries.
 */
const packages = ['redis-tools', 'liblzf1', 'libjemalloc2', 'libatomic1'];
/** BullMQ requires it, and `set-proc-title` exists since this version. */
const versionMin = [6, 2] as const;
const commandTimeoutMs = 20_000;

/**
 * Finds a Redis server on the search path, or unpacks one below `toolsDir` (no root, no system
 * service).
 * @throws MeshError `redis.absent`: one line that says why and what to do
 */
export async function findRedis(options: FindOptions): Promise<RedisBinaries> {
  const installed = await onPath('redis-server', options.searchPath);
  if (installed !== undefined) {
    const version = await versionOf(installed, {});
    if (version !== undefined && isRecent(version))
      return { server: installed, env: {}, version, origin: installed };
  }
  try {
    return await unpacked(options);
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    throw serverError(
      'redis.absent',
      `redis-server ${versionMin.join('.')} or newer is absent (${why}): install the package "redis-server", or name a server with REDIS_URL`,
      { cause: error },
    );
  }
}

async function unpacked(options: FindOptions): Promise<RedisBinaries> {
  const { toolsDir, onNotice } = options;
  const folder = await unpackDebian({
    toolsDir,
    name: 'redis',
    packages,
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  const server = path.join(folder, 'usr', 'bin', 'redis-server');
  linkOnce('redis-check-rdb', server);
  const env = { LD_LIBRARY_PATH: libraryPath(folder) };
  const version = await versionOf(server, env);
  if (version === undefined) throw new Error(`${server} does not run`);
  return { server, env, version, origin: folder };
}

/**
 * Debian ships one program under several names; the program decides by its name what it does (see
 * `main` in server.c of Redis).
 */
function linkOnce(target: string, link: string): void {
  if (existsSync(link)) return;
  try {
    symlinkSync(target, link);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Undefined if the program does not run or prints no version. */
async function versionOf(server: string, env: Record<string, string>): Promise<string | undefined> {
  const output = await run(server, ['--version'], { env, timeout: commandTimeoutMs }).then(
    ({ stdout }) => stdout,
    () => '',
  );
  return /\bv=(\d+\.\d+\.\d+)/.exec(output)?.[1];
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > versionMin[0] || (major === versionMin[0] && minor >= versionMin[1]);
}
