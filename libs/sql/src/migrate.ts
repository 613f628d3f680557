/** Schema migrations: each runs once, in order, whoever asks and however many ask at the same time. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import Postgrator from 'postgrator';
import { MeshError } from '@thermomesh/runtime';

/** Advisory lock of migrations: the ASCII bytes of "mesh". */
const migrationLock = 0x6d657368;

export interface MigrateOptions {
  url: string;
  /** Folder with `001.do.name.sql`, `001.undo.name.sql`, … */
  folder: string;
  /** Table that records what has run; one per owner of a schema. */
  table: string;
  /** How long to wait for somebody else's migration. */
  lockTimeoutMs?: number;
  /** Version to go to; the newest by default. Lower than the present one runs the `undo` files. */
  to?: string;
}

/**
 * Brings the schema to a version and returns the names of the files that ran.
 * @throws MeshError `sql.schema_too_new` if the database is at a later version than this program knows
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'thermomesh-migrate',
    lock_timeout: options.lockTimeoutMs ?? 60_000,
  });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [migrationLock]);
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
      throw new MeshError(
        'sql.schema_too_new',
        `the database is at version ${present}, this program knows ${newest}: run a newer one`,
      );
    }
    // One transaction around all files and their records: a crash in the middle leaves the old version, whole.
    await client.query('BEGIN');
    const applied = await postgrator.migrate(options.to ?? String(newest));
    await client.query('COMMIT');
    return applied.map((migration) => path.basename(migration.filename));
  } finally {
    await client.end();
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
