/**
 * The leader of one partition of the task topic, as a function. It decides which task is worked on,
 * which is skipped, and when the progress becomes durable. No clock, no sockets. Records come one
 * at a time, in the order of their offsets.
 */
import { boundedReason } from '@thermomesh/contracts';
import type { PartitionProgress, ResultRecord, TaskRecord } from '@thermomesh/contracts';

/** The limits of a partition's leader. */
export interface LeaderLimits {
  /** Answered tasks whose keys are remembered, to skip a task that was appended twice. */
  readonly handledMax: number;
  /** Answered tasks after which the progress is saved. */
  readonly progressEveryTasks: number;
  /** Time after the first unsaved task at which the progress is saved at the latest. */
  readonly progressDelayMs: number;
  /**
   * Number of leaders that may begin a task without answering it; the next one answers it with a
   * failure.
   */
  readonly startsPerTaskMax: number;
}

export const defaultLeaderLimits: LeaderLimits = {
  handledMax: 128,
  progressEveryTasks: 32,
  progressDelayMs: 1_000,
  startsPerTaskMax: 2,
};

/**
 * Returns every invalid limit and every relation between limits that does not hold, one line each;
 * empty if there is none.
 */
export function leaderLimitIssues(limits: LeaderLimits): string[] {
  const issues = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.handledMax > handledLimit) issues.push(`handledMax must not be above ${handledLimit}`);
  if (limits.progressEveryTasks > limits.handledMax)
    issues.push('progressEveryTasks must not be above handledMax');
  return issues;
}

/** Largest number of keys in a stored progress. */
const handledLimit = 1_024;

/** A node's state for one partition. Immutable: `leaderStep` returns a new state. */
export interface LeaderState {
  readonly partition: number;
  readonly limits: LeaderLimits;
  /** Null while another node leads. */
  readonly epoch: number | null;
  readonly progress: PartitionProgress;
  /**
   * The end of the partition when this node became its leader. A task before it may have ended the
   * former leader.
   */
  readonly backlogEnd: number;
  readonly working: { readonly offset: number; readonly task: TaskRecord } | null;
  /** Answered and skipped tasks since the progress was last saved. */
  readonly unsaved: number;
}

/** How the work on a task ended. */
export type Outcome = ResultRecord['outcome'];

/** What can happen to a partition's leader. */
export type LeaderEvent =
  /**
   * This node leads from now on. `progress` is what its predecessor left, read after the epoch was
   * won; null if there is none.
   */
  | {
      readonly type: 'led';
      readonly epoch: number;
      readonly progress: PartitionProgress | null;
      readonly endOffset: number;
    }
  /** This node no longer leads in that epoch, or the fence refused its progress of that epoch. */
  | { readonly type: 'lost'; readonly epoch: number }
  | { readonly type: 'task'; readonly offset: number; readonly task: TaskRecord }
  /** A record that is not a valid task. */
  | { readonly type: 'unreadable'; readonly offset: number }
  /** The work on the task at `offset` has ended with this outcome. */
  | { readonly type: 'worked'; readonly offset: number; readonly outcome: Outcome }
  /** The task at `offset` is obsolete because its job is over: no answer is expected. */
  | { readonly type: 'obsolete'; readonly offset: number }
  /** A coordinator of that epoch exists. */
  | { readonly type: 'coordinatorSeen'; readonly epoch: number }
  /** The time that `armProgress` asked for is over. */
  | { readonly type: 'progressDue' };

/**
 * What the leader wants done. The host carries effects out in order, and finishes each before the
 * next: a result is appended before the progress that counts it. It feeds a record only when the
 * one before is done.
 */
export type LeaderEffect =
  /** Read on from this offset, or from the first offset that the topic still holds. */
  | { readonly type: 'readFrom'; readonly offset: number }
  | { readonly type: 'pause' }
  | { readonly type: 'work'; readonly offset: number; readonly task: TaskRecord }
  /** Stop that work. Its outcome is no longer needed. */
  | { readonly type: 'abandon'; readonly offset: number }
  | { readonly type: 'answer'; readonly result: ResultRecord }
  /** Make the progress durable, unless a newer leader exists. In that case answer with `lost`. */
  | { readonly type: 'save'; readonly epoch: number; readonly progress: PartitionProgress }
  | { readonly type: 'armProgress'; readonly afterMs: number }
  /** A record was skipped. Count it. */
  | { readonly type: 'skip'; readonly offset: number; readonly why: SkipReason };

/** Why a record of the partition was skipped. Metrics count by this closed list. */
export const skipReasons = [
  'before_start',
  'unreadable',
  'older_coordinator_epoch',
  'handled',
  /** Reported by the host: the job's files may be gone, which is not a failure. */
  'job_over',
] as const;
export type SkipReason = (typeof skipReasons)[number];

type Turn = { -readonly [K in keyof LeaderState]: LeaderState[K] } & { effects: LeaderEffect[] };

/** The state of a node that does not lead the partition. */
export function initialLeader(partition: number, limits: LeaderLimits): LeaderState {
  const progress = { offset: 0, coordinatorEpoch: 0, handled: [], begun: null };
  return { partition, limits, epoch: null, progress, backlogEnd: 0, working: null, unsaved: 0 };
}

/** Takes a state and an event; returns the next state and the effects to carry out, in order. */
export function leaderStep(before: LeaderState, event: LeaderEvent): [LeaderState, LeaderEffect[]] {
  const turn: Turn = { ...before, effects: [] };
  react(turn, event);
  const { effects, ...after } = turn;
  return [after, effects];
}

function react(turn: Turn, event: LeaderEvent): void {
  switch (event.type) {
    case 'led':
      return lead(turn, event);
    case 'lost':
      return event.epoch === turn.epoch ? lose(turn) : undefined;
    case 'coordinatorSeen':
      return seeCoordinator(turn, event.epoch);
    case 'task':
      return turn.epoch === null ? undefined : take(turn, event.offset, event.task);
    case 'unreadable':
      return turn.epoch !== null && event.offset >= turn.progress.offset
        ? skip(turn, event.offset, 'unreadable')
        : undefined;
    case 'worked':
      return worked(turn, event.offset, event.outcome);
    case 'obsolete':
      return skipObsolete(turn, event.offset);
    case 'progressDue':
      return turn.unsaved > 0 ? save(turn) : undefined;
  }
}

function lead(turn: Turn, event: LeaderEvent & { type: 'led' }): void {
  if (turn.epoch !== null && event.epoch <= turn.epoch) return;
  lose(turn);
  const seen = turn.progress.coordinatorEpoch;
  const progress = event.progress ?? { offset: 0, coordinatorEpoch: 0, handled: [], begun: null };
  turn.epoch = event.epoch;
  // Progress beyond the end belongs to a topic that was deleted and created again. The coordinator
  // issues again whatever this leader would skip.
  const offset = Math.min(progress.offset, event.endOffset);
  turn.progress = { ...progress, offset, coordinatorEpoch: Math.max(seen, progress.coordinatorEpoch) };
  turn.backlogEnd = event.endOffset;
  turn.unsaved = 0;
  turn.effects.push({ type: 'readFrom', offset });
}

/** Stops leading. The successor continues the work: this node answers and saves nothing more. */
function lose(turn: Turn): void {
  if (turn.epoch === null) return;
  turn.effects.push({ type: 'pause' });
  if (turn.working !== null) turn.effects.push({ type: 'abandon', offset: turn.working.offset });
  turn.epoch = null;
  turn.working = null;
  turn.unsaved = 0;
}

function take(turn: Turn, offset: number, task: TaskRecord): void {
  const { progress, backlogEnd, limits, working } = turn;
  if (working !== null) throw new Error(`offset ${offset} came while ${working.offset} is worked on`);
  if (offset < progress.offset) return void turn.effects.push({ type: 'skip', offset, why: 'before_start' });
  if (task.coordinatorEpoch < progress.coordinatorEpoch) return skip(turn, offset, 'older_coordinator_epoch');
  seeCoordinator(turn, task.coordinatorEpoch);
  if (progress.handled.includes(taskKey(task))) return skip(turn, offset, 'handled');
  turn.working = { offset, task };
  if (offset < backlogEnd) {
    // A task of the backlog may have ended the former leader, so its start is saved before the work
    // begins.
    const times = progress.begun?.offset === offset ? progress.begun.times : 0;
    if (times >= limits.startsPerTaskMax) {
      const reason = `its leader ended ${times} times while working on it`;
      return worked(turn, offset, { kind: 'failed', reason });
    }
    turn.progress = { ...turn.progress, offset, begun: { offset, times: times + 1 } };
    save(turn);
  }
  turn.effects.push({ type: 'work', offset, task });
}

function worked(turn: Turn, offset: number, outcome: Outcome): void {
  const { working, epoch, partition, progress, limits } = turn;
  if (epoch === null || working?.offset !== offset) return;
  const { jobId, phase, chunk, attempt, coordinatorEpoch } = working.task;
  const result: ResultRecord = {
    type: 'equalizer.result.v1',
    jobId,
    phase,
    chunk,
    attempt,
    coordinatorEpoch,
    partition,
    partitionEpoch: epoch,
    outcome: outcome.kind === 'failed' ? { ...outcome, reason: boundedReason(outcome.reason) } : outcome,
  };
  turn.effects.push({ type: 'answer', result });
  turn.working = null;
  const handled = [...progress.handled, taskKey(working.task)].slice(-limits.handledMax);
  turn.progress = { ...progress, handled };
  advance(turn, offset);
}

function skipObsolete(turn: Turn, offset: number): void {
  if (turn.epoch === null || turn.working?.offset !== offset) return;
  turn.working = null;
  skip(turn, offset, 'job_over');
}

function skip(turn: Turn, offset: number, why: SkipReason): void {
  turn.effects.push({ type: 'skip', offset, why });
  advance(turn, offset);
}

function advance(turn: Turn, offset: number): void {
  turn.progress = { ...turn.progress, offset: offset + 1, begun: null };
  turn.unsaved += 1;
  if (turn.unsaved >= turn.limits.progressEveryTasks) return save(turn);
  if (turn.unsaved === 1) turn.effects.push({ type: 'armProgress', afterMs: turn.limits.progressDelayMs });
}

function save(turn: Turn): void {
  if (turn.epoch === null) return;
  turn.unsaved = 0;
  turn.effects.push({ type: 'save', epoch: turn.epoch, progress: turn.progress });
}

/** Remembers the highest coordinator epoch: tasks of a deposed coordinator are skipped. */
function seeCoordinator(turn: Turn, epoch: number): void {
  if (epoch > turn.progress.coordinatorEpoch) turn.progress = { ...turn.progress, coordinatorEpoch: epoch };
}

/** Key of one attempt at one chunk. */
export function taskKey(task: TaskRecord): string {
  return `${task.jobId}/${task.phase}/${task.chunk}/${task.attempt}/${task.coordinatorEpoch}`;
}
