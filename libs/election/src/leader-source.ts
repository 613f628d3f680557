/** The port between the election by queue and the service that keeps the queue (ZooKeeper, in libs/zookeeper-election). */
import type { Epoch, NodeId } from './types.ts';

/** What a node says of itself to the group; gone with the node. */
export interface GroupWord {
  fit: boolean;
  /** The epoch that it coordinates under, if it does. */
  leads: Epoch | null;
}

/** What a source reports. Never called from within its methods, and never after `stop`. */
export interface LeaderSourceHandlers {
  /**
   * True: this node stands, is first in the queue, and the service has just confirmed it. False: it is not any more, or cannot
   * know. For each node the two alternate; false comes before any other node can be told true, unless this process hangs.
   */
  onFirst(first: boolean): void;
  /** What all other nodes of the group say, whenever it changes; empty once it cannot be known any more. */
  onGroup(others: Readonly<Record<NodeId, GroupWord>>): void;
  /** That epoch was given back in order. A node that is told that it is first has been told this before. */
  onGivenBack(epoch: Epoch): void;
  /** The service can be asked, or cannot, and why. */
  onReachable(reachable: boolean, reason: string): void;
  /** Something failed that is tried again, and that no outage explains. */
  onFault(error: unknown): void;
}

/**
 * A queue whose first member leads, and a board on which each member writes one word. It only proposes: the fence decides.
 * `conformance/leader-source.ts` says in tests what every implementation must do.
 */
export interface LeaderSource {
  /** Begins, and tries for ever: it does not wait until the service can be reached. */
  start(handlers: LeaderSourceHandlers): Promise<void>;
  /** Leaves queue and group, after what was said before; in bounded time. Idempotent. */
  stop(): Promise<void>;
  /** Whether this node stands in the queue. Leaving it is followed by no report. */
  stand(standing: boolean): void;
  /** Goes to the end of the queue; whoever stands alone is first again. Not being first any more is not reported. */
  requeue(): void;
  /** Replaces this node's word; the latest one arrives, however often the service is away. */
  say(word: GroupWord): void;
  /** Tells everybody that this node has given this epoch back in order; called before it leaves. A lost one is no harm: it is only counted. */
  giveBack(epoch: Epoch): void;
}
