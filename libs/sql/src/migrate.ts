/**
 * Schema migrations: each runs once, in sequence, even if several processes migrate at the same
 * time.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import Postgrator from 'postgrator';
import { sqlError } from './errors.ts';

/** Advisory lock of migrations: the ASCII bytes of "mesh". */
const migrationLock = 0x6d657368;

const lockTimeoutMsDefault = 60_000;
const lockRetryMs = 50;

export interface MigrateOptions {
  url: string;
  /**
   * Folder with `001.do.name.sql`, `001.undo.name.sql`, … Its subfolder `online` may hold
   * `002.name.sql`: statements that prepare a migration of a database in use, such as
   * `CREATE INDEX CONCURRENTLY`. They run before the transaction of the migrations, one by one. A
   * crash may come between any two, so each must do no harm when it runs again.
   */
  folder: string;
  /** Table that records which files have run; each service has its own. */
  table: string;
  /** Maximum wait for a migration by another process. Default 60 s. */
  lockTimeoutMs?: number;
  /**
   * Target version; default: the newest. A lower version than the present one runs `undo` files.
   */
  to?: string;
}

/**
 * Brings the schema to a version and returns the names of the files that ran.
 * @throws MeshError `sql.schema_too_new` if the database is at a later version than this program
 *   knows
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'thermomesh-migrate',
    lock_timeout: options.lockTimeoutMs ?? lockTimeoutMsDefault,
  });
  await client.connect();
  try {
    await takeLock(client, options.lockTimeoutMs ?? lockTimeoutMsDefault);
    const postgrator = new Postgrator({
      driver: 'pg',
      migrationPattern: path.join(options.folder, '*.sql'),
      schemaTable: options.table,
      validateChecksums: true,
      execQuery: (query) => client.query(query),
    });
    const known = await client.query('SELECT to_regclass($1) IS NOT NULL AS known', [options.table]);
    const present = (known.rows[0] as { known: boolean }).known ? await postgrator.getDatabaseVersion() : 0;
    const newest = newestVersion(options.folder);
    if (Number(present) > newest) {
      throw sqlError(
        'sql.schema_too_new',
        `the database is at version ${present}, this program knows ${newest}: run a newer program`,
      );
    }
    if (Number(present) > 0) await prepareOnline(client, options, Number(present));
    // One transaction around all files and their records: a crash in the middle leaves the old
    // version intact.
    await client.query('BEGIN');
    const applied = await postgrator.migrate(options.to ?? String(newest));
    await client.query('COMMIT');
    return applied.map((migration) => path.basename(migration.filename));
  } finally {
    await client.end();
  }
}

/**
 * Waits for a migration by another process. It asks again and again: a session that waits inside a
 * statement would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every older snapshot.
 */
async function takeLock(client: pg.Client, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await client.query('SELECT pg_try_advisory_lock($1) AS taken', [migrationLock]);
    if ((answer.rows[0] as { taken: boolean }).taken) return;
    if (performance.now() > deadline)
      throw sqlError('sql.migration_locked', `another process has been migrating for ${timeoutMs} ms`);
    await sleep(lockRetryMs);
  }
}

/**
 * Runs the statements of `online` for the versions above `present`, up to the target. A new
 * database is empty and needs none.
 */
async function prepareOnline(
  client: pg.Client,
  { folder, to }: MigrateOptions,
  present: number,
): Promise<void> {
  const online = path.join(folder, 'online');
  if (!existsSync(online)) return;
  const target = Number(to ?? newestVersion(folder));
  for (const file of readdirSync(online).sort()) {
    const version = Number.parseInt(file, 10);
    if (!(version > present && version <= target)) continue;
    const text = readFileSync(path.join(online, file), 'utf8');
    for (const statement of text.split(/;\s*$/m)) if (statement.trim() !== '') await client.query(statement);
  }
}

function newestVersion(folder: string): number {
  return Math.max(
    0,
    ...readdirSync(folder)
      .map((file) => Number.parseInt(file, 10))
      .filter(Number.isInteger),
  );
}
