/** The database of a mesh. */
import { createPool, type SqlPool } from '@thermomesh/sql';
import { meshError } from '../errors.ts';
import type { Mesh } from './mesh.ts';

const statementTimeoutMs = 300_000;

/**
 * Opens a pool on the mesh's database.
 * @throws MeshError `mesh.no_database`
 */
export function openPool(mesh: Mesh): SqlPool {
  const url = mesh.run()?.databaseUrl ?? null;
  if (url === null) throw meshError('mesh.no_database', `the mesh "${mesh.name}" was never up`);
  return createPool({ url, applicationName: 'mesh', connectionsMax: 2, statementTimeoutMs });
}
