/** Removes all data of a stopped mesh from this machine. */
import { existsSync, lstatSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { actualDataDir } from '@thermomesh/servers';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { layoutOf, type Layout } from '../mesh/files/layout.ts';
import { lockSupervisor } from '../mesh/files/run-file.ts';

/** The data of a mesh, as a wipe finds them. */
export interface MeshData {
  /** Folders with their sizes; the first is the folder of the mesh itself. */
  folders: { path: string; bytes: number; files: number }[];
  /** Servers of others that the mesh worked with; a wipe leaves their content alone. */
  untouched: string[];
}

/**
 * Lists what a wipe of the mesh removes.
 * @throws MeshError `mesh.unknown` if there is nothing
 */
export function findData(config: MeshConfig, name: string): MeshData {
  const layout = layoutOf(config.home, name);
  if (lstatSync(layout.folder, { throwIfNoEntry: false }) === undefined)
    throw meshError('mesh.unknown', `there is no mesh "${name}" in ${config.home}: nothing to remove`);
  return {
    folders: foldersOf(layout).map((folder) => ({ path: folder, ...sizeOf(folder) })),
    untouched: [
      ['the database of DATABASE_URL', config.databaseUrl],
      ['the Redis of REDIS_URL', config.redisUrl],
      [`the nodes below /thermomesh/${name} of ZOOKEEPER_HOSTS`, config.zookeeperHosts],
      ['the topics of KAFKA_BROKERS', config.kafkaBrokers],
    ].flatMap(([what, address]) => (address === undefined || what === undefined ? [] : [what])),
  };
}

/**
 * Removes the data. The lock keeps another supervisor from starting meanwhile.
 * @throws MeshError `mesh.already_running`
 */
export async function removeData(config: MeshConfig, name: string): Promise<void> {
  const layout = layoutOf(config.home, name);
  const unlock = await lockSupervisor(layout, name);
  try {
    const [folder, ...elsewhere] = foldersOf(layout);
    for (const other of elsewhere) rmSync(other, { recursive: true, force: true });
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  } finally {
    unlock();
  }
}

/** The mesh's folder, and that of PostgreSQL if its user cannot enter the mesh's folder. */
function foldersOf(layout: Layout): string[] {
  const postgres = actualDataDir(layout.postgresDir);
  const isElsewhere = !postgres.startsWith(layout.folder + path.sep);
  // The file that names the place may be damaged; only a folder of a database is removed.
  return isElsewhere && existsSync(path.join(postgres, 'PG_VERSION'))
    ? [layout.folder, postgres]
    : [layout.folder];
}

function sizeOf(folder: string): { bytes: number; files: number } {
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return { bytes: 0, files: 0 };
  const sum = { bytes: 0, files: 0 };
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    sum.files += 1;
    sum.bytes += statSync(path.join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}
