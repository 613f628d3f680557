/** Functions that read a node's state. */
import type { ElectionLimits, NodeId, NodeState, PeerMessage } from './types.ts';

/** The state of a node that has not started. `peers` are the ids of all other nodes. */
export function initialState(id: NodeId, peers: readonly NodeId[], limits: ElectionLimits): NodeState {
  const unseen = peers.map((peer) => [peer, { connected: false, fit: undefined }] as const);
  return {
    id,
    limits,
    peers: Object.fromEntries(unseen),
    fit: false,
    epoch: 0,
    phase: { name: 'stopped' },
    round: 0,
    claim: null,
    stopping: false,
    timers: {},
  };
}

/**
 * The role of a node as its service sees it. During a graceful release it is still the coordinator.
 */
export type Role =
  | { role: 'coordinator'; epoch: number }
  | { role: 'follower'; coordinator: NodeId; epoch: number }
  | { role: 'electing' }
  | { role: 'stopped' };

export function roleOf(node: Pick<NodeState, 'phase' | 'epoch'>): Role {
  const { phase } = node;
  switch (phase.name) {
    case 'leading':
    case 'releasing':
      return { role: 'coordinator', epoch: phase.epoch };
    case 'following':
      return { role: 'follower', coordinator: phase.coordinator, epoch: node.epoch };
    case 'stopped':
      return { role: 'stopped' };
    default:
      return { role: 'electing' };
  }
}

/**
 * The status that a node sends to its peers. A node that has released still names itself as
 * coordinator until its successor speaks or fails to, because a graceful hand-over must not start
 * an election.
 */
export function statusOf(node: NodeState): PeerMessage & { type: 'status' } {
  const { phase } = node;
  const leads = phase.name === 'leading' || phase.name === 'releasing' || phase.name === 'vacating';
  const coordinator = leads ? node.id : phase.name === 'following' ? phase.coordinator : null;
  return { type: 'status', fit: node.fit, coordinator, epoch: node.epoch };
}

export function isConnected(node: NodeState, peer: NodeId): boolean {
  return node.peers[peer]?.connected === true;
}

/** The ids of all connected peers, ascending. */
export function connectedPeers(node: NodeState): NodeId[] {
  return Object.keys(node.peers)
    .map(Number)
    .filter((peer) => isConnected(node, peer))
    .sort((a, b) => a - b);
}

/** The connected higher peers that are fit, or whose fitness is not known yet, ascending. */
export function peersAbove(node: NodeState): NodeId[] {
  return connectedPeers(node).filter((peer) => peer > node.id && node.peers[peer]?.fit !== false);
}

/**
 * Returns `wanted` if that peer is connected and not known to be unfit. For null: the highest peer
 * known to be fit. Else null.
 */
export function fitPeer(node: NodeState, wanted: NodeId | null): NodeId | null {
  if (wanted !== null) return isConnected(node, wanted) && node.peers[wanted]?.fit !== false ? wanted : null;
  return connectedPeers(node).findLast((peer) => node.peers[peer]?.fit === true) ?? null;
}
