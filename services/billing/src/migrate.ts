/**
 * Brings the schema of billing to the version of this program. Run it once before the replicas
 * start.
 */
import { runMigrations } from '@thermomesh/sql';

await runMigrations({ table: 'billing_schema', folder: new URL('../migrations', import.meta.url) });
