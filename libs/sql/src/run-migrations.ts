/** The migration program of a service: its `migrate.ts` calls this and does nothing else. */
import { fileURLToPath } from 'node:url';
import { main } from '@thermomesh/runtime';
import { readDatabaseUrl } from './config.ts';
import { migrate } from './migrate.ts';

export interface MigrationProgram {
  /** Table that records which files have run; each service has its own. */
  table: string;
  /** Folder with the SQL files, such as `new URL('../migrations', import.meta.url)`. */
  folder: string | URL;
}

/**
 * Brings the schema of the database that DATABASE_URL names to the newest version and prints the
 * names of the files that ran. An issue of the configuration or a failed migration is printed and
 * ends the process with exit code 2.
 */
export async function runMigrations({ table, folder }: MigrationProgram): Promise<void> {
  await main(async () => {
    const applied = await migrate({
      url: readDatabaseUrl(),
      folder: typeof folder === 'string' ? folder : fileURLToPath(folder),
      table,
    });
    console.log(JSON.stringify({ event: 'schema.migrated', applied }));
  });
}
