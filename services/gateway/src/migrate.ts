/** Brings the checkout's schema to this program's version: run once before the gateway starts, by whoever deploys. */
import { fileURLToPath } from 'node:url';
import { main } from '@thermomesh/runtime';
import { migrate } from '@thermomesh/sql';
import { readMigrateConfig } from './config.ts';

await main(async () => {
  const { DATABASE_URL } = readMigrateConfig();
  const applied = await migrate({
    url: DATABASE_URL,
    folder: fileURLToPath(new URL('../migrations', import.meta.url)),
    table: 'gateway_schema',
  });
  console.log(JSON.stringify({ event: 'schema.migrated', applied }));
});
