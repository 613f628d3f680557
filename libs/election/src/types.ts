/** The words of the Bully election: messages between nodes, events that go into a step, effects that come out of it. */

/** A node's number; the highest fit one wins. */
export type NodeId = number;

/** Number of a coordinator's term, given out by the fence; each is larger than every one before. 0: none known yet. */
export type Epoch = number;

/**
 * Why an epoch is asked for: `first` (this node has known no coordinator yet), `failover` (the coordinator was lost),
 * `preempt` (a returning higher node takes over in order), `yield` (an unfit or stopping coordinator hands over in order).
 */
export type ClaimCause = 'first' | 'failover' | 'preempt' | 'yield';

/** The two ways in which a living coordinator gives its title away. */
export type HandoverCause = 'preempt' | 'yield';

/** What nodes say to each other. `status` is the gossip that repairs whatever else was lost. */
export type PeerMessage =
  /** To higher nodes: I am electing; is one of you there? `round` comes back in the answer. */
  | { type: 'election'; round: number }
  /** Back to the lower node: I am here and fit, leave it to me. */
  | { type: 'ok'; round: number }
  /** To all: I hold this epoch. */
  | { type: 'coordinator'; epoch: Epoch }
  /** On link-up, on change and every `statusIntervalMs`; `epoch` is the highest that the sender knows. */
  | { type: 'status'; fit: boolean; coordinator: NodeId | null; epoch: Epoch }
  /** A higher node asks the coordinator of this epoch to hand over in order. */
  | { type: 'handover'; epoch: Epoch }
  /** The coordinator of this epoch has finished its batch and released its session: you are next. */
  | { type: 'released'; epoch: Epoch; cause: HandoverCause }
  /** The hand-over will not happen. */
  | { type: 'refused'; epoch: Epoch };

/** What the fence answered to a claim. `held`: another coordinator's lease is fresh, whether we see that node or not. */
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

/** What the service, the fence and the clock bring about, whatever the strategy. */
export type HostEvent =
  | { type: 'start'; fit: boolean }
  | { type: 'stop' }
  | { type: 'timer'; timer: TimerName }
  | { type: 'claimWon'; epoch: Epoch }
  | { type: 'claimHeld'; holder: NodeId; epoch: Epoch }
  | { type: 'claimFailed' }
  /** The service found in the database that its epoch is stale; `holder` is null where only the epoch is known. */
  | { type: 'deposed'; holder: NodeId | null; epoch: Epoch }
  /** The orderly release of this epoch has finished. */
  | { type: 'released'; epoch: Epoch }
  | { type: 'fitnessChanged'; fit: boolean };

/** What can happen to a node of the Bully election. */
export type ElectionEvent =
  | HostEvent
  | { type: 'peerUp'; peer: NodeId }
  | { type: 'peerDown'; peer: NodeId }
  | { type: 'message'; from: NodeId; message: PeerMessage };

/** What the driver carries out, whatever the strategy, in this order. */
export type HostEffect =
  | { type: 'setTimer'; timer: TimerName; delayMs: number }
  | { type: 'clearTimer'; timer: TimerName }
  /** Ask the fence for the next epoch; one of claimWon, claimHeld, claimFailed comes back. At most one is under way. */
  | { type: 'claim'; cause: ClaimCause }
  /** Finish the batch, close the session; then the event `released` comes back. */
  | { type: 'release'; epoch: Epoch }
  /** Stop acting for this epoch at once: somebody else may already be acting. */
  | { type: 'stepDown'; epoch: Epoch }
  | { type: 'lead'; epoch: Epoch; cause: ClaimCause }
  | { type: 'follow'; coordinator: NodeId; epoch: Epoch }
  | { type: 'seek' }
  | { type: 'stopped' };

/** What comes out of a step of the Bully election. */
export type Effect = HostEffect | { type: 'send'; to: NodeId; message: PeerMessage };

/** The limits of an election, in milliseconds. {@link electionLimitFaults} checks how they must relate. */
export interface ElectionLimits {
  /** After a start, or when fitness comes back and nobody leads: how long to wait for links and gossip before electing. */
  settleMs: number;
  /** How long a connected higher peer may stay silent after ELECTION. */
  electionTimeoutMs: number;
  /** How long, after OK or after a release, COORDINATOR may take: it covers one claim at the fence. */
  coordinatorTimeoutMs: number;
  /** Pause between claims while the fence says that a node which we cannot see holds the epoch, or fails. */
  claimRetryMs: number;
  /** How long a returning higher node must be up and fit, without a break, before it asks for the title. */
  preemptHoldMs: number;
  /** How long the asking node waits for the coordinator's release. */
  handoverTimeoutMs: number;
  /** How long an orderly release may take before the coordinator steps down without order. */
  releaseTimeoutMs: number;
  /**
   * How long an unfit coordinator sees a fit peer, or no peer at all, before it yields. Longer than the fitness probes lie apart: when the
   * database fails for everyone, one node is always the first to notice.
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

/** Every reason why these limits do not fit together; empty if they do. For the check at start. */
export function electionLimitFaults(limits: ElectionLimits): string[] {
  const faults = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isInteger(value) || value <= 0)
    .map(([name]) => `${name} must be a whole number of milliseconds above 0`);
  const below = (small: keyof ElectionLimits, large: keyof ElectionLimits, why: string) => {
    if (limits[small] >= limits[large]) faults.push(`${small} must be below ${large}: ${why}`);
  };
  below('electionTimeoutMs', 'coordinatorTimeoutMs', 'an answer comes sooner than a coordinator');
  below('releaseTimeoutMs', 'handoverTimeoutMs', 'who asks for the title must outwait the release');
  below(
    'claimRetryMs',
    'coordinatorTimeoutMs',
    'whoever waits for a winner must outwait one more claim of it',
  );
  below(
    'settleMs',
    'preemptHoldMs',
    'a node that just started must not take the title before it knows who else is up',
  );
  return faults;
}

/** Limits and ids as a strategy takes them. @throws RangeError with every fault */
export function checkedLimits(
  nodeId: NodeId,
  peers: readonly NodeId[],
  given: Partial<ElectionLimits> = {},
): ElectionLimits {
  const limits = { ...defaultElectionLimits, ...given };
  const faults = electionLimitFaults(limits);
  if (new Set([nodeId, ...peers]).size !== peers.length + 1) faults.push('node ids must be distinct');
  if (faults.length > 0) throw new RangeError(faults.join('; '));
  return limits;
}

/** What a node knows of another. `fit` is undefined until its first status on this link. */
export interface PeerView {
  connected: boolean;
  fit: boolean | undefined;
}

/** Where a node stands. */
export type Phase =
  | { name: 'stopped' }
  /** Just started, or just fit again: links and gossip come first. */
  | { name: 'settling' }
  /** No coordinator known, and not fit to become one. */
  | { name: 'idle' }
  /** ELECTION is out; nobody higher has answered yet. */
  | { name: 'asking' }
  /** `on` said OK; its COORDINATOR is awaited. */
  | { name: 'waiting'; on: NodeId }
  /** Nobody higher answers: the fence has been asked. */
  | { name: 'claiming' }
  /** The fence could not answer. */
  | { name: 'retrying' }
  /** `asked`: this node has asked the coordinator to hand over. */
  | { name: 'following'; coordinator: NodeId; asked: boolean }
  | { name: 'leading'; epoch: Epoch; cause: ClaimCause }
  /** Coordinator still, finishing in order. `to` is who asked; null: the highest fit peer at the end of the release. */
  | { name: 'releasing'; epoch: Epoch; to: NodeId | null; cause: HandoverCause }
  /** Released; `to` is expected to announce itself. */
  | { name: 'vacating'; epoch: Epoch; to: NodeId; cause: HandoverCause };

/** All that a node remembers. Never changed in place: `step` returns a new one. */
export interface NodeState {
  readonly id: NodeId;
  readonly limits: ElectionLimits;
  peers: Record<NodeId, PeerView>;
  fit: boolean;
  /** The highest epoch that this node has heard of; that of the coordinator it follows or is. */
  epoch: Epoch;
  phase: Phase;
  /** Counts this node's elections: an OK to an earlier one is stale. */
  round: number;
  /** The claim under way at the fence, if any. */
  claim: ClaimCause | null;
  stopping: boolean;
  /** The timers that run, each with the reason it was set for: another reason sets it anew. */
  timers: Partial<Record<TimerName, string>>;
}
