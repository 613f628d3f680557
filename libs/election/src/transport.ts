/** The port between the election and the network, and the clock. */
import type { NodeId, PeerMessage } from './types.ts';

/** Why a link ended: the socket broke, nothing was heard for too long, or the peer came back on a newer link. */
export type PeerDownReason = 'closed' | 'silent' | 'replaced';

/** What a transport reports. Never called from within `start`, `stop` or `send`, and never after `stop`. */
export interface PeerHandlers {
  /** The link to this authenticated peer works in both directions. Up and down alternate strictly for each peer. */
  onPeerUp(peer: NodeId): void;
  onPeerDown(peer: NodeId, reason: PeerDownReason): void;
  /** Only between up and down of that peer; in the order in which that peer sent them, each at most once. */
  onMessage(from: NodeId, message: PeerMessage): void;
}

/** Links to all peers. `conformance/peer-transport.ts` says in tests what every implementation must do. */
export interface PeerTransport {
  start(handlers: PeerHandlers): Promise<void>;
  /** Ends all links. Idempotent. */
  stop(): Promise<void>;
  /** Sends if the link is up; returns false, and does nothing, if it is not. True does not mean that it arrived. */
  send(to: NodeId, message: PeerMessage): boolean;
}

/** A clock that can only wake: real in services, made by hand in tests. */
export interface Scheduler {
  /** Calls `fire` once after `delayMs` milliseconds, unless the returned function is called first. */
  after(delayMs: number, fire: () => void): () => void;
}

/** Node's own timers. */
export const realScheduler: Scheduler = {
  after(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};
