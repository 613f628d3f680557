/** Redis servers for tests. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { configuredRedisUrl } from './config.ts';
import { startRedis, type RedisOptions, type RedisServer } from './redis/server.ts';

/** A server of a test's own, to be killed and started again at will. */
export interface TestRedis {
  /** The one that runs now. */
  server: RedisServer;
  /** Starts it again on the same data and, unless said otherwise, the same port. */
  restart(options?: Partial<RedisOptions>): Promise<RedisServer>;
  /** Stops it and removes its data. */
  remove(): Promise<void>;
}

/** Starts a server on a new temporary folder; server and folder end with this process, whatever happens to the process. */
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
  const own: TestRedis = {
    server: await start({}),
    async restart(more = {}) {
      own.server = await start({ port: own.server.port, ...more });
      return own.server;
    },
    async remove() {
      await own.server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return own;
}

/** A server that tests of several files may use at the same time. */
export interface SharedRedis {
  url: string;
  /** What this test's keys begin with. */
  prefix: string;
  /** The last one stops a server that was started for it. */
  release(): Promise<void>;
}

let shared: Promise<TestRedis> | undefined;
let users = 0;

/** The server that `REDIS_URL` names, else one that is started for this process, once. For tests that do not kill it. */
export async function sharedRedis(): Promise<SharedRedis> {
  const url = configuredRedisUrl();
  const prefix = `test_${process.pid}_${randomBytes(4).toString('hex')}:`;
  if (url !== undefined) return { url, prefix, release: async () => undefined };
  users += 1;
  const own = await (shared ??= testRedis());
  let released = false;
  return {
    url: own.server.url,
    prefix,
    async release() {
      if (released) return;
      released = true;
      users -= 1;
      if (users > 0) return;
      shared = undefined;
      await own.remove();
    },
  };
}
