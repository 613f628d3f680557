/** What can be done to a mesh: a signal to a process, or something wrong with its links for a while. */
import { MeshError } from '@thermomesh/runtime';
import type { Mesh } from '../client/mesh.ts';
import { nodeCount } from '../client/settled.ts';
import { checkCut, describeCut, type CutBlow, type LinkEnds } from './cut.ts';
import { checkTarget, type TargetKind } from './target.ts';

export const blowSignals = ['KILL', 'STOP', 'TERM'] as const;
/** kill -9; SIGSTOP and later SIGCONT; an orderly end, after which the supervisor starts it again. */
export type BlowSignal = (typeof blowSignals)[number];

export interface SignalBlow {
  kind: 'signal';
  target: TargetKind;
  /** For the target `node`: which one. */
  node?: number | undefined;
  signal: BlowSignal;
  /** STOP only: how long the process stays stopped. */
  pauseMs: number;
  /** STOP of a container only: it goes on, cut off these networks. */
  networks?: readonly string[] | undefined;
}

export type Blow = SignalBlow | CutBlow;

export const pauseMsOf = { STOP: 3_000, links: 6_000 } as const;

/** @throws MeshError `usage` if this mesh has no such target or link */
export function checkBlow(mesh: Mesh, blow: Blow): void {
  if (blow.kind === 'signal') {
    checkNetworks(mesh, blow.networks ?? []);
    return checkTarget(mesh, blow.target, blow.node);
  }
  const processes = mesh.run()?.processes ?? [];
  if (!processes.some(({ role }) => role === 'links')) {
    throw new MeshError(
      'usage',
      `the links of the mesh "${mesh.name}" cannot be cut: start it with "mesh up --proxied"`,
    );
  }
  checkCut(blow, linkEndsOf(mesh));
}

/** What the links of this mesh lead to, as its supervisor has planned it. */
export function linkEndsOf(mesh: Mesh): LinkEnds {
  const hosts = mesh.run()?.zookeeperHosts ?? '';
  return {
    nodes: nodeCount(mesh),
    zookeepers: hosts === '' ? 0 : hosts.split(',').length,
    needsZooKeeper: mesh.run()?.election === 'zookeeper',
  };
}

function checkNetworks({ host }: Mesh, networks: readonly string[]): void {
  const unknown = networks.filter((name) => !host.networks.includes(name));
  if (unknown.length === 0) return;
  const known =
    host.networks.length === 0 ? 'only containers have some' : `known: ${host.networks.join(', ')}`;
  throw new MeshError('usage', `no network ${unknown.join(', ')} to be cut off: ${known}`);
}

export function describeBlow(blow: Blow): string {
  if (blow.kind === 'links') return describeCut(blow);
  const { signal, target, node, networks } = blow;
  const whom = `${target}${node === undefined ? '' : ` ${node}`}`;
  return networks === undefined ? `${signal} ${whom}` : `cut ${whom} off ${networks.join(', ')}`;
}
