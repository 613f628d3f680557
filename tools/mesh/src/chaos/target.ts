/** What can be hurt. Each kind of target says which process it is now and how its recovery is recognised. */
import { MeshError } from '@thermomesh/runtime';
import type { ProcessIdentity } from '@thermomesh/servers';
import { readEqualizerCoordinator } from '../client/equalizers.ts';
import { readCoordinator, type Mesh } from '../client/mesh.ts';
import type { ProcessRole } from '../state/run-file.ts';

export const targetKinds = [
  'coordinator',
  'gateway',
  'postgres',
  'node',
  'fleet',
  'redis',
  'zookeeper',
  'kafka',
  'billing',
  'card-processor',
  'equalizer-coordinator',
  'equalizer-worker',
] as const;
export type TargetKind = (typeof targetKinds)[number];

/** A process that is about to be hurt. */
export interface Victim {
  /** Its name in the mesh. */
  name: string;
  identity: ProcessIdentity;
  /** The epoch that must be followed by a higher one; undefined if the target does not coordinate. */
  epoch: number | undefined;
  /** The same of the equalizer's coordinator. */
  imageEpoch?: number | undefined;
}

/** Finds the victim of the next round. @returns undefined if there is none at the moment */
export type FindVictim = () => Promise<Victim | undefined>;

/** @param node for the kind `node`: which one */
export function findVictim(mesh: Mesh, kind: TargetKind, node: number | undefined): FindVictim {
  switch (kind) {
    case 'coordinator':
      return async () => {
        const coordinator = await readCoordinator(mesh);
        if (coordinator === null) return undefined;
        const victim = await named(mesh, `node-${coordinator.node}`);
        return victim === undefined ? undefined : { ...victim, epoch: coordinator.epoch };
      };
    case 'gateway':
    case 'postgres':
    case 'fleet':
    case 'redis':
    case 'card-processor':
      return async () => named(mesh, kind);
    case 'billing':
    case 'zookeeper':
    case 'kafka':
      return async () => named(mesh, oneToHurt(mesh, kind));
    case 'equalizer-coordinator':
      return async () => {
        const coordinator = await readEqualizerCoordinator(mesh);
        if (coordinator === null) return undefined;
        const victim = await named(mesh, `equalizer-${coordinator.node}`);
        return victim === undefined ? undefined : { ...victim, imageEpoch: coordinator.epoch };
      };
    case 'equalizer-worker':
      return async () => {
        const coordinator = await readEqualizerCoordinator(mesh);
        return named(mesh, oneToHurt(mesh, 'equalizer', `equalizer-${coordinator?.node ?? 0}`));
      };
    case 'node':
      return async () => {
        const victim = await named(mesh, `node-${node}`);
        const coordinator = await readCoordinator(mesh);
        return victim === undefined || coordinator?.node !== node
          ? victim
          : { ...victim, epoch: coordinator?.epoch };
      };
  }
}

/**
 * Checks that the target exists in this mesh.
 * @throws MeshError `usage`
 */
export function checkTarget(mesh: Mesh, kind: TargetKind, node: number | undefined): void {
  const processes = mesh.run()?.processes ?? [];
  if ((kind === 'node') !== (node !== undefined)) {
    throw new MeshError(
      'usage',
      kind === 'node' ? 'name the node: mesh chaos node 3' : `${kind} takes no number`,
    );
  }
  if (kind === 'postgres' && !processes.some(({ role }) => role === 'postgres')) {
    throw new MeshError(
      'usage',
      "this mesh uses the PostgreSQL that DATABASE_URL names: it is not the mesh's to kill",
    );
  }
  if (kind === 'fleet' && !processes.some(({ role }) => role === 'fleet')) {
    throw new MeshError('usage', 'this mesh runs no fleet: start it with "mesh up --fleet"');
  }
  const part = partOf[kind];
  if (part !== undefined && !processes.some(({ role }) => role === roleOf(kind))) {
    throw new MeshError(
      'usage',
      `this mesh runs no ${kind}: it was started without ${part}, could not have it, or uses one of somebody else's`,
    );
  }
  if (kind === 'node' && !processes.some(({ name }) => name === `node-${node}`)) {
    throw new MeshError('usage', `there is no node ${node} in this mesh`);
  }
}

/** What need not run in every mesh, and without which `--without` it does. */
const partOf: Partial<Record<TargetKind, string>> = {
  redis: 'payments',
  billing: 'payments',
  'card-processor': 'payments',
  zookeeper: 'coordination',
  kafka: 'coordination',
  'equalizer-coordinator': 'images',
  'equalizer-worker': 'images',
};

/** Which processes are meant; targets without a part of their own have the name of their role. */
function roleOf(kind: TargetKind): string {
  return kind.startsWith('equalizer-') ? 'equalizer' : kind;
}

/** Of several alike the one that was started anew least often: with kills, each in turn. @param spared not this one */
function oneToHurt(mesh: Mesh, kind: ProcessRole, spared?: string): string {
  const processes = mesh.run()?.processes ?? [];
  const replicas = processes.filter(({ role, name }) => role === kind && name !== spared);
  return replicas.toSorted((a, b) => a.restarts - b.restarts)[0]?.name ?? '';
}

async function named(mesh: Mesh, name: string): Promise<Victim | undefined> {
  const record = mesh.run()?.processes.find((process) => process.name === name);
  const identity = record === undefined ? undefined : await mesh.host.living(record);
  return identity === undefined ? undefined : { name, identity, epoch: undefined };
}
