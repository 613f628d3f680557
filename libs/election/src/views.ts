/** Questions that the algorithm asks of a node's state. */
import type { ElectionLimits, NodeId, NodeState, PeerMessage } from './types.ts';

/** A node that has not started yet; `peers` are the ids of all others. */
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

/** What a node is for the outside. While it finishes an orderly release it still is the coordinator. */
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
 * The gossip of a node. One that has released still names itself until its successor speaks or fails to: a hand-over in
 * order must not send the others into an election.
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

/** `wanted` if that peer is connected and not known to be unfit; for null the highest peer known to be fit; else null. */
export function fitPeer(node: NodeState, wanted: NodeId | null): NodeId | null {
  if (wanted !== null) return isConnected(node, wanted) && node.peers[wanted]?.fit !== false ? wanted : null;
  return connectedPeers(node).findLast((peer) => node.peers[peer]?.fit === true) ?? null;
}
