/** Which server tests will use, for people. */
import { createPool } from '@thermomesh/sql';
import { messageOf } from '@thermomesh/runtime';
import { configuredDatabaseUrl } from './config.ts';
import { findBinaries } from './postgres/binaries.ts';

/** One line about PostgreSQL, and whether it can be had. */
export async function describePostgres(): Promise<{ ok: boolean; text: string }> {
  const configured = configuredDatabaseUrl();
  try {
    if (configured === undefined) {
      const { version, folder } = await findBinaries();
      return { ok: true, text: `${version} from npm, ${folder}` };
    }
    const pool = createPool({ url: configured, applicationName: 'describe-servers', connectionsMax: 1 });
    try {
      const [row] = await pool.query<{ server_version: string }>('SHOW server_version');
      return {
        ok: true,
        text: `${row?.server_version ?? '?'} at ${new URL(configured).host}, named by DATABASE_URL`,
      };
    } finally {
      await pool.close();
    }
  } catch (error) {
    return { ok: false, text: messageOf(error) };
  }
}
