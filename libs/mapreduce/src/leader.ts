/**
 * The leader of one partition of the task topic, as a function: which task is worked on, which is passed over, what of the progress
 * is made durable when. No clock, no sockets. Records come in the order of their offsets, one at a time.
 */
import { boundedReason } from '@thermomesh/contracts';
import type { PartitionProgress, ResultRecord, TaskRecord } from '@thermomesh/contracts';

export interface LeaderLimits {
  /** Answered tasks that are remembered by name, to pass over the same task appended twice. */
  readonly handledMax: number;
  /** Answered tasks after which the progress is made durable. */
  readonly progressEveryTasks: number;
  /** … and at the latest this long after the first of them. */
  readonly progressDelayMs: number;
  /** How often a task may be begun and not answered, by one leader after another, before it is answered with a failure. */
  readonly startsPerTaskMax: number;
}

export const defaultLeaderLimits: LeaderLimits = {
  handledMax: 128,
  progressEveryTasks: 32,
  progressDelayMs: 1_000,
  startsPerTaskMax: 2,
};

/** Every limit that makes no sense and every relation among them that does not hold, one line each. */
export function leaderLimitFaults(limits: LeaderLimits): string[] {
  const faults = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.handledMax > handledLimit) faults.push(`handledMax must not be above ${handledLimit}`);
  if (limits.progressEveryTasks > limits.handledMax)
    faults.push('progressEveryTasks must not be above handledMax');
  return faults;
}

/** Names that a stored progress may hold. */
const handledLimit = 1_024;

/** What a node knows of one partition. Never changed in place. */
export interface LeaderState {
  readonly partition: number;
  readonly limits: LeaderLimits;
  /** Null while another node leads. */
  readonly epoch: number | null;
  readonly progress: PartitionProgress;
  /** The end of the partition when this node became its leader: what lies before it may have ended the former one. */
  readonly backlogEnd: number;
  readonly working: { readonly offset: number; readonly task: TaskRecord } | null;
  /** Tasks answered since the progress was made durable. */
  readonly unsaved: number;
}

export type Outcome = ResultRecord['outcome'];

export type LeaderEvent =
  /** This node leads from now on. `progress` is what its predecessor left (null: nothing), read after the epoch was won. */
  | {
      readonly type: 'led';
      readonly epoch: number;
      readonly progress: PartitionProgress | null;
      readonly endOffset: number;
    }
  /** It leads no longer in that epoch, or its progress of that epoch was refused by the fence. */
  | { readonly type: 'lost'; readonly epoch: number }
  | { readonly type: 'task'; readonly offset: number; readonly task: TaskRecord }
  /** A record that is no task. */
  | { readonly type: 'unreadable'; readonly offset: number }
  /** The work on the task at `offset` has ended. */
  | { readonly type: 'worked'; readonly offset: number; readonly outcome: Outcome }
  /** The job of the task at `offset` is over: it was not worked on, or in vain, and nobody waits for an answer. */
  | { readonly type: 'moot'; readonly offset: number }
  /** A coordinator of that epoch was heard of. */
  | { readonly type: 'coordinatorSeen'; readonly epoch: number }
  /** `progressDelayMs` are over. */
  | { readonly type: 'progressDue' };

/**
 * A record comes when the one before it is done with. Effects are carried out in order, each finished before the next: a result is
 * appended before the progress that counts it.
 */
export type LeaderEffect =
  /** Read on from there, or from the beginning of what the topic still holds. */
  | { readonly type: 'readFrom'; readonly offset: number }
  | { readonly type: 'pause' }
  | { readonly type: 'work'; readonly offset: number; readonly task: TaskRecord }
  /** Stop that work; its outcome is not wanted. */
  | { readonly type: 'abandon'; readonly offset: number }
  | { readonly type: 'answer'; readonly result: ResultRecord }
  /** Make the progress durable, unless a newer leader exists: then `lost` is the answer. */
  | { readonly type: 'save'; readonly epoch: number; readonly progress: PartitionProgress }
  | { readonly type: 'armProgress'; readonly afterMs: number }
  /** Passed over: count it. */
  | { readonly type: 'skip'; readonly offset: number; readonly why: SkipReason };

/** Why a record of the partition was not worked on. A closed list. */
export const skipReasons = [
  'before_start',
  'unreadable',
  'older_coordinator_epoch',
  'handled',
  /** The host says so: its files may be gone, and that is no failure. */
  'job_over',
] as const;
export type SkipReason = (typeof skipReasons)[number];

type Turn = { -readonly [K in keyof LeaderState]: LeaderState[K] } & { effects: LeaderEffect[] };

/** A node that does not lead the partition. */
export function initialLeader(partition: number, limits: LeaderLimits): LeaderState {
  const progress = { offset: 0, coordinatorEpoch: 0, handled: [], begun: null };
  return { partition, limits, epoch: null, progress, backlogEnd: 0, working: null, unsaved: 0 };
}

/** What happened to the node → what it knows of the partition now, and what is to be done, in order. */
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
    case 'moot':
      return passOver(turn, event.offset);
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
  // Progress beyond the end is that of a topic that was made anew; what it would pass over is issued again by the coordinator.
  const offset = Math.min(progress.offset, event.endOffset);
  turn.progress = { ...progress, offset, coordinatorEpoch: Math.max(seen, progress.coordinatorEpoch) };
  turn.backlogEnd = event.endOffset;
  turn.unsaved = 0;
  turn.effects.push({ type: 'readFrom', offset });
}

/** Whatever was under way belongs to the successor now: nothing is answered and nothing is saved. */
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
    // A task that was there before may be the one that ended the former leader: it is marked before it is touched.
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
    ...{ jobId, phase, chunk, attempt, coordinatorEpoch, partition },
    partitionEpoch: epoch,
    outcome: outcome.kind === 'failed' ? { ...outcome, reason: boundedReason(outcome.reason) } : outcome,
  };
  turn.effects.push({ type: 'answer', result });
  turn.working = null;
  const handled = [...progress.handled, taskKey(working.task)].slice(-limits.handledMax);
  turn.progress = { ...progress, handled };
  advance(turn, offset);
}

function passOver(turn: Turn, offset: number): void {
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

/** A coordinator that was deposed is not worked for, whoever tells of its successor first. */
function seeCoordinator(turn: Turn, epoch: number): void {
  if (epoch > turn.progress.coordinatorEpoch) turn.progress = { ...turn.progress, coordinatorEpoch: epoch };
}

/** Names one try at one chunk. */
export function taskKey(task: TaskRecord): string {
  return `${task.jobId}/${task.phase}/${task.chunk}/${task.attempt}/${task.coordinatorEpoch}`;
}
