/** Redis for tests: a shared server, and servers of a test's own. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { configuredRedisUrl } from '../config.ts';
import { startRedis, type RedisOptions, type RedisServer } from '../redis/server.ts';
import { startOwnServer, type OwnServer } from './own-server.ts';
import { sharedServer } from './shared-server.ts';

/** A Redis server that only one test uses and may kill and start again. */
export type TestRedis = OwnServer<RedisServer, RedisOptions>;

/**
 * Starts a server on a new temporary folder; server and folder disappear with this process, kill -9
 * included.
 */
export async function testRedis(options: Partial<RedisOptions> = {}): Promise<TestRedis> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-redis-'));
  const start = async (more: Partial<RedisOptions>) =>
    startRedis({
      dataDir: path.join(folder, 'redis'),
      endWithParent: true,
      scratchFolder: folder,
      ...options,
      ...more,
    });
  return startOwnServer(start, async () => rm(folder, { recursive: true, force: true }));
}

/** A server that several tests use at the same time. */
export interface SharedRedis {
  url: string;
  /** Prefix of all keys of this test. */
  prefix: string;
  /** The last `release` in this process stops the server, if this process started it. */
  release(): Promise<void>;
}

const acquireServer = sharedServer(testRedis, async (own) => own.remove());

/**
 * The server that `REDIS_URL` names, or else one that all users in this process share. For tests
 * that do not kill it.
 */
export async function sharedRedis(): Promise<SharedRedis> {
  const url = configuredRedisUrl();
  const prefix = `test_${process.pid}_${randomBytes(4).toString('hex')}:`;
  if (url !== undefined) return { url, prefix, release: async () => undefined };
  const { server: own, release } = await acquireServer();
  return { url: own.server.url, prefix, release };
}
