/**
 * Brings the schema of analytics to the version of this program. Run it once before the nodes
 * start.
 */
import { runMigrations } from '@thermomesh/sql';

await runMigrations({ table: 'analytics_schema', folder: new URL('../migrations', import.meta.url) });
