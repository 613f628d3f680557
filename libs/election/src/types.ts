/**
 * The vocabulary of an election: the messages between nodes, the events that go into a step, the
 * effects that come out of it, the limits, and the state of a node.
 */

/** A node's number. The Bully election prefers the highest fit one. */
export type NodeId = number;

/**
 * Number of a coordinator's term. The fence assigns it; each epoch is larger than every earlier
 * one. 0 means that no epoch is known yet.
 */
export type Epoch = number;

/**
 * Why a node asks for an epoch:
 * - `first`: this node has known no coordinator yet;
 * - `failover`: the coordinator was lost;
 * - `preempt`: a returning higher node takes over gracefully;
 * - `yield`: an unfit or stopping coordinator hands over gracefully.
 */
export type ClaimCause = 'first' | 'failover' | 'preempt' | 'yield';

/** The two ways in which a live coordinator hands its title over. */
export type HandoverCause = 'preempt' | 'yield';

/**
 * The messages between nodes. `status` is the gossip that repairs the loss of any other message.
 */
export type PeerMessage =
  /** To higher nodes: I am electing; is one of you there? The answer repeats `round`. */
  | { type: 'election'; round: number }
  /** Back to the lower node: I am here and fit, leave it to me. */
  | { type: 'ok'; round: number }
  /** To all: I hold this epoch. */
  | { type: 'coordinator'; epoch: Epoch }
  /**
   * Sent when a link comes up, when its content changes, and every `statusIntervalMs`. `epoch` is
   * the highest epoch that the sender knows.
   */
  | { type: 'status'; fit: boolean; coordinator: NodeId | null; epoch: Epoch }
  /** A higher node asks the coordinator of this epoch for a graceful hand-over. */
  | { type: 'handover'; epoch: Epoch }
  /**
   * The coordinator of this epoch has finished its batch and released its session; the receiver is
   * its successor.
   */
  | { type: 'released'; epoch: Epoch; cause: HandoverCause }
  /** The coordinator refuses the hand-over. */
  | { type: 'refused'; epoch: Epoch };

/**
 * The fence's answer to a claim. `held`: another coordinator's lease is fresh, whether or not this
 * node sees that coordinator.
 */
export type ClaimResult =
  | { outcome: 'won'; epoch: Epoch }
  | { outcome: 'held'; holder: NodeId; epoch: Epoch }
  | { outcome: 'failed' };

/** Every timer has a name; a node has at most one of each. */
export const timerNames = [
  'settle',
  'election',
  'coordinator',
  'retry',
  'preempt',
  'handover',
  'release',
  'yield',
  'status',
] as const;
export type TimerName = (typeof timerNames)[number];

/** What the service, the fence and the clock report; the same for every strategy. */
export type HostEvent =
  | { type: 'start'; fit: boolean }
  | { type: 'stop' }
  | { type: 'timer'; timer: TimerName }
  | { type: 'claimWon'; epoch: Epoch }
  | { type: 'claimHeld'; holder: NodeId; epoch: Epoch }
  | { type: 'claimFailed' }
  /**
   * The service found in the database that its epoch is stale. `holder` is null if only the epoch
   * is known.
   */
  | { type: 'deposed'; holder: NodeId | null; epoch: Epoch }
  /** The graceful release of this epoch has finished. */
  | { type: 'released'; epoch: Epoch }
  | { type: 'fitnessChanged'; fit: boolean };

/** What can happen to a node of the Bully election. */
export type ElectionEvent =
  | HostEvent
  | { type: 'peerUp'; peer: NodeId }
  | { type: 'peerDown'; peer: NodeId }
  | { type: 'message'; from: NodeId; message: PeerMessage };

/** What the driver carries out, in this order; the same for every strategy. */
export type HostEffect =
  | { type: 'setTimer'; timer: TimerName; delayMs: number }
  | { type: 'clearTimer'; timer: TimerName }
  /**
   * Ask the fence for the next epoch. The answer is one of `claimWon`, `claimHeld` and
   * `claimFailed`. At most one claim is under way.
   */
  | { type: 'claim'; cause: ClaimCause }
  /** Finish the batch and close the session. The answer is `released`. */
  | { type: 'release'; epoch: Epoch }
  /** Stop acting for this epoch at once: another coordinator may be acting already. */
  | { type: 'stepDown'; epoch: Epoch }
  /** Act as coordinator of this epoch. */
  | { type: 'lead'; epoch: Epoch; cause: ClaimCause }
  /** Another node coordinates. */
  | { type: 'follow'; coordinator: NodeId; epoch: Epoch }
  /** No coordinator is known: this node takes part in an election. */
  | { type: 'seek' }
  /** The node has stopped and released its epoch, if it had one. */
  | { type: 'stopped' };

/** What comes out of a step of the Bully election. */
export type Effect = HostEffect | { type: 'send'; to: NodeId; message: PeerMessage };

/**
 * The limits of an election, in milliseconds. {@link electionLimitIssues} checks how they relate.
 */
export interface ElectionLimits {
  /**
   * After a start, or when a node becomes fit while no coordinator is known: time to wait for links
   * and gossip before electing.
   */
  settleMs: number;
  /** How long to wait for a connected higher peer's answer to ELECTION. */
  electionTimeoutMs: number;
  /**
   * How long to wait for COORDINATOR after an OK or a release. It covers one claim at the fence.
   */
  coordinatorTimeoutMs: number;
  /**
   * Pause between two claims while the fence fails, or names a holder that this node cannot see.
   */
  claimRetryMs: number;
  /**
   * How long a returning higher node must be up and fit, without interruption, before it asks for
   * the title.
   */
  preemptHoldMs: number;
  /** How long a node that asked for a hand-over waits for the coordinator's release. */
  handoverTimeoutMs: number;
  /** Maximum duration of a graceful release; after it the coordinator steps down at once. */
  releaseTimeoutMs: number;
  /**
   * How long a coordinator must be unfit, while it sees a fit peer or no peer at all, before it
   * yields. It must exceed the interval between two fitness probes plus the timeout
   * of one: when the database fails for all nodes, the one that notices first would otherwise yield
   * to a node that fails too.
   */
  yieldHoldMs: number;
  /** Period of the gossip. */
  statusIntervalMs: number;
}

/** Defaults for nodes on one local network. */
export const defaultElectionLimits: ElectionLimits = {
  settleMs: 500,
  electionTimeoutMs: 300,
  coordinatorTimeoutMs: 1500,
  claimRetryMs: 150,
  preemptHoldMs: 5000,
  handoverTimeoutMs: 5000,
  releaseTimeoutMs: 3000,
  yieldHoldMs: 1000,
  statusIntervalMs: 1000,
};

/**
 * Returns every limit that is invalid and every relation between limits that does not hold; empty
 * if there is none. For the check at start.
 */
export function electionLimitIssues(limits: ElectionLimits): string[] {
  const issues = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a positive integer (milliseconds)`);
  const below = (small: keyof ElectionLimits, large: keyof ElectionLimits, why: string) => {
    if (limits[small] >= limits[large]) issues.push(`${small} must be below ${large}: ${why}`);
  };
  below('electionTimeoutMs', 'coordinatorTimeoutMs', 'a peer answers sooner than a coordinator is elected');
  below(
    'releaseTimeoutMs',
    'handoverTimeoutMs',
    'a node that asks for the title must wait longer than the release takes',
  );
  below(
    'claimRetryMs',
    'coordinatorTimeoutMs',
    'a node that waits for the winner must allow it one more claim',
  );
  below(
    'settleMs',
    'preemptHoldMs',
    'a node that has just started must know the others before it asks for the title',
  );
  return issues;
}

/**
 * Completes the limits with the defaults and checks them and the node ids.
 * @throws RangeError that lists every issue
 */
export function checkedLimits(
  nodeId: NodeId,
  peers: readonly NodeId[],
  given: Partial<ElectionLimits> = {},
): ElectionLimits {
  const limits = { ...defaultElectionLimits, ...given };
  const issues = electionLimitIssues(limits);
  if (new Set([nodeId, ...peers]).size !== peers.length + 1) issues.push('node ids must be distinct');
  if (issues.length > 0) throw new RangeError(issues.join('; '));
  return limits;
}

/** What a node knows of a peer. `fit` is undefined until the peer's first status on this link. */
export interface PeerView {
  connected: boolean;
  fit: boolean | undefined;
}

/** The state of a node in the election. Each phase has the data that exists in it, and no other. */
export type Phase =
  | { name: 'stopped' }
  /** Just started, or fit again: waits for links and gossip. */
  | { name: 'settling' }
  /**
   * Knows no coordinator and does nothing now: it is not fit, or waits for its place in the queue.
   */
  | { name: 'idle' }
  /** ELECTION is sent; no higher node has answered yet. */
  | { name: 'asking' }
  /** `on` answered OK; waits for its COORDINATOR. */
  | { name: 'waiting'; on: NodeId }
  /** Has asked the fence for an epoch and waits for the answer. */
  | { name: 'claiming' }
  /** The claim failed, or its holder is out of sight: waits to claim again. */
  | { name: 'retrying' }
  /** `asked`: this node has asked the coordinator to hand over. */
  | { name: 'following'; coordinator: NodeId; asked: boolean }
  | { name: 'leading'; epoch: Epoch; cause: ClaimCause }
  /**
   * Still the coordinator, and finishing its work. `to` is the node that asked for the title; null:
   * the highest fit peer at the end of the release becomes the successor.
   */
  | { name: 'releasing'; epoch: Epoch; to: NodeId | null; cause: HandoverCause }
  /** Has released; waits for `to` to announce itself. */
  | { name: 'vacating'; epoch: Epoch; to: NodeId; cause: HandoverCause };

/** Everything that a node remembers. Immutable: `step` returns a new state. */
export interface NodeState {
  readonly id: NodeId;
  readonly limits: ElectionLimits;
  peers: Record<NodeId, PeerView>;
  fit: boolean;
  /**
   * The highest epoch that this node has heard of. While it follows or coordinates, that
   * coordinator's epoch.
   */
  epoch: Epoch;
  phase: Phase;
  /** Number of this node's elections so far: an OK to an earlier one is stale. */
  round: number;
  /** The claim under way at the fence, if any. */
  claim: ClaimCause | null;
  stopping: boolean;
  /**
   * The running timers, each with the reason it was set for. A timer whose reason changes is
   * restarted.
   */
  timers: Partial<Record<TimerName, string>>;
}
