/**
 * The faults that can be injected: a signal to a process, or a condition of links for some time.
 */
import { meshError } from '../../errors.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { nodeCount } from '../../mesh/settled.ts';
import { checkCut, describeCut, type CutFault, type LinkEnds } from './cut.ts';
import { checkTarget, type TargetKind } from './target.ts';

export const faultSignals = ['KILL', 'STOP', 'TERM'] as const;
/**
 * KILL is kill -9; STOP is SIGSTOP and later SIGCONT; TERM is a graceful stop, after which the
 * supervisor starts the process again.
 */
export type FaultSignal = (typeof faultSignals)[number];

export interface SignalFault {
  kind: 'signal';
  target: TargetKind;
  /** Number of the node, for the target `node`. */
  node?: number | undefined;
  signal: FaultSignal;
  /** For STOP: time until the process continues. */
  pauseMs: number;
  /** For STOP of a container: it is disconnected from these networks instead of being stopped. */
  networks?: readonly string[] | undefined;
}

export type Fault = SignalFault | CutFault;

export const pauseMsOf = { STOP: 3_000, links: 6_000 } as const;

/**
 * Checks a fault against the mesh.
 * @throws MeshError `usage` if this mesh has no such target or link
 */
export function checkFault(mesh: Mesh, fault: Fault): void {
  if (fault.kind === 'signal') {
    checkNetworks(mesh, fault.networks ?? []);
    return checkTarget(mesh, fault.target, fault.node);
  }
  const processes = mesh.run()?.processes ?? [];
  if (!processes.some(({ role }) => role === 'links')) {
    throw meshError(
      'usage',
      `the links of the mesh "${mesh.name}" cannot be cut: start it with "mesh up --proxied"`,
    );
  }
  checkCut(fault, linkEndsOf(mesh));
}

/** The ends of this mesh's links, as its supervisor has planned them. */
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
    host.networks.length === 0 ? 'only containers have networks' : `known: ${host.networks.join(', ')}`;
  throw meshError('usage', `there is no network ${unknown.join(', ')} to disconnect: ${known}`);
}

export function describeFault(fault: Fault): string {
  if (fault.kind === 'links') return describeCut(fault);
  const { signal, target, node, networks } = fault;
  const whom = `${target}${node === undefined ? '' : ` ${node}`}`;
  return networks === undefined ? `${signal} ${whom}` : `disconnect ${whom} from ${networks.join(', ')}`;
}
