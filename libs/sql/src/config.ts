/** The setting of the migration program; the only reader of the environment here. */
import { postgresUrl, readConfig } from '@thermomesh/runtime';
import Type from 'typebox';

const Settings = Type.Object({ DATABASE_URL: postgresUrl() });

/** The database to migrate. @throws MeshError `config.invalid` */
export function readDatabaseUrl(env: NodeJS.ProcessEnv = process.env): string {
  return readConfig(Settings, env).DATABASE_URL;
}
