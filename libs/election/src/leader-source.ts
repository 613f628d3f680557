/**
 * The port of the election by queue: the service that keeps the queue (ZooKeeper, in
 * libs/zookeeper-election).
 */
import type { Epoch, NodeId } from './types.ts';

/** What a member publishes about itself to the group. It disappears with the member's session. */
export interface MemberStatus {
  fit: boolean;
  /** The epoch under which it coordinates; null if it does not. */
  leads: Epoch | null;
}

/** Callbacks of a source. It never calls them from within its methods, and never after `stop`. */
export interface LeaderSourceHandlers {
  /**
   * True: this node is a candidate, is first in the queue, and the service has just confirmed it.
   * False: it no longer is first, or cannot know. For each node the two alternate. Unless the
   * process hangs, a node gets false before any other node gets true.
   */
  onFirst(first: boolean): void;
  /**
   * The latest status of all other members. Called on every change; empty once the group can no
   * longer be known.
   */
  onGroup(others: Readonly<Record<NodeId, MemberStatus>>): void;
  /**
   * The coordinator of that epoch has released it gracefully. A node that becomes first gets this
   * report before `onFirst(true)`.
   */
  onReleased(epoch: Epoch): void;
  /** The service has become reachable or unreachable; `reason` says why, in words. */
  onReachable(reachable: boolean, reason: string): void;
  /** Something failed that will be retried, and that no outage explains. */
  onError(error: unknown): void;
}

/**
 * A queue whose first member becomes coordinator, and a board on which each member publishes its
 * status. It only proposes a coordinator: the fence decides. `conformance/leader-source.ts` is the
 * test suite that every implementation must pass.
 */
export interface LeaderSource {
  /** Starts, and keeps trying to reach the service; does not wait until it is reachable. */
  start(handlers: LeaderSourceHandlers): Promise<void>;
  /**
   * Leaves the queue and the group after everything published before. Ends in bounded time.
   * Idempotent.
   */
  stop(): Promise<void>;
  /** Enters or leaves the queue. Leaving it causes no report. */
  setCandidate(candidate: boolean): void;
  /**
   * Moves to the end of the queue; a node alone in the queue is first again. The loss of the first
   * place is not reported.
   */
  requeue(): void;
  /**
   * Replaces this node's status. The latest status arrives, however often the service is
   * unreachable.
   */
  publish(status: MemberStatus): void;
  /**
   * Tells the group that this node has released this epoch gracefully. Called before it leaves. A
   * lost announcement does no harm: it only serves to count causes.
   */
  announceRelease(epoch: Epoch): void;
}
