/** The ports of the Bully election: links to peers, and timers. */
import type { NodeId, PeerMessage } from './types.ts';

/**
 * Why a link ended: the socket closed, the peer was silent for too long, or the peer opened a newer
 * link.
 */
export type PeerDownReason = 'closed' | 'silent' | 'replaced';

/**
 * Callbacks of a transport. It never calls them from within `start`, `stop` or `send`, and never
 * after `stop`.
 */
export interface PeerHandlers {
  /**
   * The link to this authenticated peer works in both directions. For each peer, up and down
   * alternate.
   */
  onPeerUp(peer: NodeId): void;
  onPeerDown(peer: NodeId, reason: PeerDownReason): void;
  /**
   * Called only between up and down of that peer, in the order in which the peer sent the messages,
   * each at most once.
   */
  onMessage(from: NodeId, message: PeerMessage): void;
}

/**
 * Links to all peers. `conformance/peer-transport.ts` is the test suite that every implementation
 * must pass.
 */
export interface PeerTransport {
  start(handlers: PeerHandlers): Promise<void>;
  /** Ends all links. Idempotent. */
  stop(): Promise<void>;
  /**
   * Sends the message if the link is up, else returns false. True does not mean that the message
   * arrived.
   */
  send(to: NodeId, message: PeerMessage): boolean;
}

/** Timers: real ones in services, simulated ones in tests. */
export interface Scheduler {
  /**
   * Calls `fire` once after `delayMs` milliseconds, unless the returned function is called first.
   */
  after(delayMs: number, fire: () => void): () => void;
}

/** A scheduler that uses Node's timers. */
export const realScheduler: Scheduler = {
  after(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};
