/**
 * Brings the schema of the checkout to the newest version. A deployment runs it once, before the
 * gateway starts.
 */
import { runMigrations } from '@thermomesh/sql';

await runMigrations({ table: 'gateway_schema', folder: new URL('../migrations', import.meta.url) });
