/** Lets a mesh work with a database that belongs to it or was adopted, and no other (ADR 0020). */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { actualDataDir } from '@thermomesh/servers';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { meshError } from '../../errors.ts';
import type { Layout } from '../../mesh/files/layout.ts';
import { ensureIdentity, rememberServer } from '../state/identity.ts';
import {
  describeMismatch,
  judgeServer,
  mayAdopt,
  type FoundServer,
  type KnownServer,
} from '../state/servers.ts';
import { runMigrations, type PlanOptions } from './launching.ts';

/** A lease that is older counts as that of a mesh that was stopped. */
const leaseFreshSeconds = 5;

/**
 * Refuses a database that does not belong to this mesh. Changes nothing.
 * @throws MeshError `mesh.other_server` that spells out the choice
 */
export async function checkDatabase(options: PlanOptions, url: string): Promise<FoundServer> {
  const { name, layout, adopt } = options;
  const { mesh } = ensureIdentity(layout);
  const found = await findDatabase(options, url);
  const mismatch = judgeServer(mesh, knownDatabase(options), found);
  if (mismatch === undefined) return found;
  if (adopt?.includes('database') === true && mayAdopt(mesh, found)) return found;
  throw meshError('mesh.other_server', describeMismatch(name, 'database', found, mismatch));
}

/**
 * Checks the database, brings its schema to this version, and remembers it.
 * @throws MeshError `mesh.other_server`, `schema.failed`
 */
export async function admitDatabase(options: PlanOptions, url: string): Promise<void> {
  const { name, layout, config } = options;
  const found = await checkDatabase(options, url);
  const { mesh } = ensureIdentity(layout);
  await runMigrations(options, 'analytics', url, {
    MESH_ID: mesh,
    MESH_NAME: name,
    ...(found.mesh === null ? {} : { MESH_FORMER: found.mesh.id }),
  });
  const { id } = await findDatabase(options, url);
  if (id === null) throw meshError('schema.failed', 'the database has no identity after its migration');
  const known = knownDatabase(options);
  const address = config.databaseUrl === undefined ? null : addressOf(url);
  const adopted = known === undefined ? false : known.id !== id || known.adopted === true;
  if (adopted && known?.id !== id) options.notice(`the mesh "${name}" has adopted the database ${id}`);
  rememberServer(layout, 'database', { id, address, ...(adopted && { adopted }) });
}

/** The setting of the nodes that lets the gateway's log go on in an adopted database. */
export function adoptionEnv(layout: Layout): Record<string, string> {
  const { database } = ensureIdentity(layout).servers;
  return database?.adopted === true ? { ADOPT_DATABASE: database.id } : {};
}

/**
 * The database that the mesh knows. A mesh of an earlier version has remembered none; if its own
 * server has data, it is that one.
 */
function knownDatabase({ layout, config }: PlanOptions): KnownServer | undefined {
  const { database } = ensureIdentity(layout).servers;
  if (database !== undefined || config.databaseUrl === undefined) return database;
  const isOwn = existsSync(path.join(actualDataDir(layout.postgresDir), 'PG_VERSION'));
  return isOwn ? { id: '', address: null } : undefined;
}

async function findDatabase({ config }: PlanOptions, url: string): Promise<FoundServer> {
  const pool = createPool({ url, applicationName: 'mesh-identity', connectionsMax: 1 });
  try {
    const address = config.databaseUrl === undefined ? null : addressOf(url);
    return { address, inUse: await isInUse(pool), ...(await readIdentity(pool)) };
  } finally {
    await pool.close();
  }
}

async function readIdentity(pool: SqlPool): Promise<Pick<FoundServer, 'id' | 'mesh'>> {
  if (!(await hasTable(pool, 'database_identity'))) return { id: null, mesh: null };
  const [row] = await pool.query<{ id: string; mesh: string | null; name: string | null }>(
    'SELECT database::text AS id, mesh::text AS mesh, mesh_name AS name FROM database_identity',
  );
  if (row === undefined) return { id: null, mesh: null };
  return { id: row.id, mesh: row.mesh === null ? null : { id: row.mesh, name: row.name ?? row.mesh } };
}

async function isInUse(pool: SqlPool): Promise<boolean> {
  if (!(await hasTable(pool, 'coordinator'))) return false;
  const [row] = await pool.query<{ fresh: boolean }>(
    `SELECT NOT released AND renewed_at > clock_timestamp() - $1 * interval '1 second' AS fresh FROM coordinator`,
    [leaseFreshSeconds],
  );
  return row?.fresh === true;
}

async function hasTable(pool: SqlPool, name: string): Promise<boolean> {
  const [row] = await pool.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [name]);
  return row?.there === true;
}

/** The address without user and password. */
function addressOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
