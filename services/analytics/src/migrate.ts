/**
 * Brings the schema of analytics to the version of this program, and records which mesh works with
 * the database. Run it once before the nodes start.
 */
import { main } from '@thermomesh/runtime';
import { runMigrations } from '@thermomesh/sql';
import { claimDatabase } from './adapters/pg-identity.ts';
import { readMigrationConfig } from './config.ts';

await runMigrations({ table: 'analytics_schema', folder: new URL('../migrations', import.meta.url) });
await main(async () => {
  const { DATABASE_URL: url, MESH_ID: id, MESH_NAME: name, MESH_FORMER: former } = readMigrationConfig();
  if (id !== undefined) await claimDatabase(url, { id, name }, former);
});
