/** Databases for tests: empty, their own, gone afterwards. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createPool } from '@thermomesh/sql';
import { configuredDatabaseUrl } from './config.ts';
import { startPostgres, type PostgresOptions, type PostgresServer } from './postgres/server.ts';

/** An empty database. */
export interface TestDatabase {
  url: string;
  /** Ends every connection to it and removes it; the last one stops a server that was started for it. */
  drop(): Promise<void>;
}

let shared: Promise<TestPostgres> | undefined;
let databases = 0;

/**
 * An empty database on the server that `DATABASE_URL` names, else on one that is started for this process: once, whatever the
 * number of databases.
 */
export async function testDatabase(): Promise<TestDatabase> {
  const configured = configuredDatabaseUrl();
  databases += 1;
  const serverUrl = configured ?? (await (shared ??= testPostgres())).server.url;
  const name = `test_${process.pid}_${randomBytes(4).toString('hex')}`;
  await runOn(serverUrl, `CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  let dropped = false;
  return {
    url: url.href,
    async drop() {
      if (dropped) return;
      dropped = true;
      databases -= 1;
      const server = databases === 0 ? shared : undefined;
      if (server === undefined) return runOn(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      shared = undefined;
      await (await server).remove();
    },
  };
}

/** A server of a test's own, to be killed and started again at will. */
export interface TestPostgres {
  /** The one that runs now. */
  server: PostgresServer;
  /** Starts it again on the same data and, unless said otherwise, the same port. */
  restart(options?: Partial<PostgresOptions>): Promise<PostgresServer>;
  /** Stops it and removes its data. */
  remove(): Promise<void>;
}

/** Starts a server on a new temporary folder; it ends with this process, whatever happens to the process. */
export async function testPostgres(options: Partial<PostgresOptions> = {}): Promise<TestPostgres> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-pg-'));
  // mkdtemp makes it private; root lends the server another user.
  await chmod(folder, 0o755);
  const start = async (more: Partial<PostgresOptions>) =>
    startPostgres({
      dataDir: path.join(folder, 'pg'),
      endWithParent: true,
      durableInit: false,
      ...options,
      ...more,
      settings: { shared_buffers: '32MB', ...options.settings, ...more.settings },
    });
  const own: TestPostgres = {
    server: await start({}),
    async restart(more = {}) {
      own.server = await start({ port: own.server.port, ...more });
      return own.server;
    },
    async remove() {
      await own.server.stop();
      await rm(own.server.dataDir, { recursive: true, force: true });
      await rm(folder, { recursive: true, force: true });
    },
  };
  return own;
}

/** For a test's own connections: a machine that stalls for seconds costs time and nothing else. */
export const sqlPatience = { connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 };

async function runOn(url: string, statement: string): Promise<void> {
  const pool = createPool({ ...sqlPatience, url, applicationName: 'test-database', connectionsMax: 1 });
  try {
    await pool.query(statement);
  } finally {
    await pool.close();
  }
}
