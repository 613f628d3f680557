/** PostgreSQL for tests: empty databases on a shared server, and servers of a test's own. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createPool } from '@thermomesh/sql';
import { configuredDatabaseUrl } from '../config.ts';
import { startPostgres, type PostgresOptions, type PostgresServer } from '../postgres/server.ts';
import { startOwnServer, type OwnServer } from './own-server.ts';
import { sharedServer } from './shared-server.ts';

/** An empty database. */
export interface TestDatabase {
  url: string;
  /**
   * Ends every connection to the database and removes it. The last `drop` in this process stops the
   * server, if this process started it.
   */
  drop(): Promise<void>;
}

const acquireServer = sharedServer(testPostgres, async (own) => own.remove());

/**
 * Makes an empty database on the server that `DATABASE_URL` names, or else on a server that all
 * databases of this process share.
 */
export async function testDatabase(): Promise<TestDatabase> {
  const configured = configuredDatabaseUrl();
  const own = configured === undefined ? await acquireServer() : undefined;
  const serverUrl = configured ?? own?.server.server.url ?? '';
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
      try {
        await runOn(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      } finally {
        await own?.release();
      }
    },
  };
}

/** A PostgreSQL server that only one test uses and may kill and start again. */
export type TestPostgres = OwnServer<PostgresServer, PostgresOptions>;

/** Starts a server on a new temporary folder; it ends with this process, kill -9 included. */
export async function testPostgres(options: Partial<PostgresOptions> = {}): Promise<TestPostgres> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-pg-'));
  // mkdtemp makes the folder private, but root starts the server as another user.
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
  return startOwnServer(start, async ({ dataDir }) => {
    await rm(dataDir, { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  });
}

/** Timeouts of test connections: a machine that stalls for seconds must not fail a test. */
export const sqlPatience = { connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 };

async function runOn(url: string, statement: string): Promise<void> {
  const pool = createPool({ ...sqlPatience, url, applicationName: 'test-database', connectionsMax: 1 });
  try {
    await pool.query(statement);
  } finally {
    await pool.close();
  }
}
