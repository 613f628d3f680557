/**
 * The targets of faults. Each kind of target determines the process, and how its recovery is
 * recognised.
 */
import type { ProcessIdentity } from '@thermomesh/servers';
import { meshError } from '../../errors.ts';
import { readEqualizerCoordinator } from '../../mesh/equalizers.ts';
import type { ProcessRole } from '../../mesh/files/run-file.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { readCoordinator } from '../../mesh/status.ts';

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

/** A process that gets the next fault. */
export interface Victim {
  /** Its name in the mesh. */
  name: string;
  identity: ProcessIdentity;
  /** The epoch that a higher one must follow; undefined if the target does not coordinate. */
  epoch: number | undefined;
  /** The epoch of the equalizer's coordinator, if it is the target. */
  imageEpoch?: number | undefined;
}

/**
 * Finds the victim of the next round.
 * @returns undefined if there is none at the moment
 */
export type FindVictim = () => Promise<Victim | undefined>;

/** @param node number of the node, for the kind `node` */
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
    throw meshError(
      'usage',
      kind === 'node' ? 'name the node: mesh chaos node 3' : `${kind} takes no number`,
    );
  }
  if (kind === 'postgres' && !processes.some(({ role }) => role === 'postgres')) {
    throw meshError(
      'usage',
      'this mesh uses the external PostgreSQL of DATABASE_URL, which it must not kill',
    );
  }
  if (kind === 'fleet' && !processes.some(({ role }) => role === 'fleet')) {
    throw meshError('usage', 'this mesh runs no fleet: start it with "mesh up --fleet"');
  }
  const part = partOf[kind];
  if (part !== undefined && !processes.some(({ role }) => role === roleOf(kind))) {
    throw meshError(
      'usage',
      `this mesh runs no ${kind}: it was started without ${part}, it is not available, or the mesh uses an external one`,
    );
  }
  if (kind === 'node' && !processes.some(({ name }) => name === `node-${node}`)) {
    throw meshError('usage', `there is no node ${node} in this mesh`);
  }
}

/** Targets that not every mesh runs, with the part of `--without` that leaves them out. */
const partOf: Partial<Record<TargetKind, string>> = {
  redis: 'payments',
  billing: 'payments',
  'card-processor': 'payments',
  zookeeper: 'coordination',
  kafka: 'coordination',
  'equalizer-coordinator': 'images',
  'equalizer-worker': 'images',
};

/** The role of a target; most targets have the name of their role. */
function roleOf(kind: TargetKind): string {
  return kind.startsWith('equalizer-') ? 'equalizer' : kind;
}

/**
 * Of several replicas the one with the fewest restarts, so that repeated kills alternate.
 * @param spared name of a process that is not chosen
 */
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
