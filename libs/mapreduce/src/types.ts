/**
 * The vocabulary of the coordinator: its limits, its state, the events that happen to it, and the
 * effects that it wants carried out.
 */
import type {
  JobMetadata,
  JobParameters,
  ResultRecord,
  SpooledImage,
  TaskOutput,
  TaskPhase,
  TaskRecord,
} from '@thermomesh/contracts';

/** The limits of a coordinator. */
export interface MapReduceLimits {
  /** Jobs that run at the same time; further jobs are queued. */
  readonly runningJobsMax: number;
  /**
   * Jobs that are not over. When there are as many, {@link mayAccept} returns false and no job may
   * be submitted.
   */
  readonly openJobsMax: number;
  /** Unanswered tasks of all jobs together. */
  readonly tasksInFlightMax: number;
  /** Failures of one chunk in one phase, each of another attempt, that fail the job. */
  readonly failuresPerChunkMax: number;
  /**
   * Attempts at one chunk in one phase. The job fails when the last of them is not answered in
   * time.
   */
  readonly attemptsPerChunkMax: number;
  /**
   * Coordinators that may end while they decode, reduce or stitch one job. After one more, the job
   * fails as the presumed cause.
   */
  readonly restartsPerPhaseMax: number;
  /** Time after which an unanswered attempt is repeated. It doubles with each attempt. */
  readonly stragglerTimeoutMs: number;
  /** Upper bound of the doubled straggler timeout. */
  readonly stragglerTimeoutMaxMs: number;
  readonly chunksPerJobMax: number;
  /** Partitions of the task topic. */
  readonly taskPartitions: number;
  /** Time for which a job that is over stays known. */
  readonly retentionMs: number;
}

export const defaultMapReduceLimits: MapReduceLimits = {
  runningJobsMax: 4,
  openJobsMax: 200,
  tasksInFlightMax: 64,
  failuresPerChunkMax: 3,
  attemptsPerChunkMax: 40,
  restartsPerPhaseMax: 5,
  stragglerTimeoutMs: 10_000,
  stragglerTimeoutMaxMs: 60_000,
  chunksPerJobMax: 4_096,
  taskPartitions: 10,
  retentionMs: 3_600_000,
};

/**
 * Returns every invalid limit and every relation between limits that does not hold, one line each;
 * empty if there is none.
 */
export function mapReduceLimitIssues(limits: MapReduceLimits): string[] {
  const issues = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.stragglerTimeoutMaxMs < limits.stragglerTimeoutMs)
    issues.push('stragglerTimeoutMaxMs must not be below stragglerTimeoutMs');
  if (limits.attemptsPerChunkMax < limits.failuresPerChunkMax)
    issues.push('attemptsPerChunkMax must not be below failuresPerChunkMax');
  if (limits.openJobsMax < limits.runningJobsMax) issues.push('openJobsMax must not be below runningJobsMax');
  return issues;
}

/**
 * The phase of a job. `reducing` and `stitching` are not stored: they are `mapping` and `applying`
 * with every chunk in ({@link phaseOf}), so a successor derives them from the records.
 */
export type JobPhase = JobMetadata['phase'] | 'reducing' | 'stitching';

/** An issued, unanswered chunk: its latest attempt. */
export interface Issue {
  readonly attempt: number;
  /** Epoch of the coordinator that issued the attempt. */
  readonly coordinatorEpoch: number;
  /** Earlier attempts that failed. */
  readonly failures: number;
}

/** A chunk's contribution to the present phase. */
export interface Contribution {
  readonly digest: string;
  readonly output: TaskOutput;
}

/**
 * A job in the coordinator's memory. Everything but `metadata` can be rebuilt from the records of
 * the present phase.
 */
export interface Job {
  readonly metadata: JobMetadata;
  /**
   * The unanswered attempt of each chunk, by chunk id; null if there is none. Empty in a phase
   * without chunks.
   */
  readonly issues: readonly (Issue | null)[];
  /**
   * The contribution of each chunk, by chunk id and never summed up: a result that comes twice
   * changes nothing (I4).
   */
  readonly contributions: readonly (Contribution | null)[];
  /** Number of issues. */
  readonly inFlight: number;
  /** Number of contributions. */
  readonly done: number;
}

/** Everything that a coordinator remembers. Immutable: `step` returns a new state. */
export interface CoordinatorState {
  readonly epoch: number;
  readonly limits: MapReduceLimits;
  readonly jobs: Readonly<Record<string, Job>>;
  /** The highest leader epoch seen in the results of each partition. */
  readonly partitionEpochs: Readonly<Record<number, number>>;
  /** A newer coordinator exists: this one ignores all further events. */
  readonly deposed: boolean;
}

/** A timer that the host keeps for the coordinator. */
export type Timer =
  | {
      readonly kind: 'straggler';
      readonly jobId: string;
      readonly phase: TaskPhase;
      readonly chunk: number;
      readonly attempt: number;
    }
  | { readonly kind: 'retention'; readonly jobId: string };

/** What can happen to a coordinator. */
export type CoordinatorEvent =
  /**
   * A caller submits a job. `number` is higher than that of every earlier job. A known id changes
   * nothing.
   */
  | {
      readonly type: 'submitted';
      readonly id: string;
      readonly number: number;
      readonly caller: string;
      readonly input: string;
      readonly parameters: JobParameters;
    }
  /**
   * Answers `decode`. `chunkPixelsMax` is the dynamic setting at this moment; the plan keeps it.
   */
  | {
      readonly type: 'decoded';
      readonly jobId: string;
      readonly image: SpooledImage;
      readonly chunkPixelsMax: number;
    }
  /** Answers `reduce`. */
  | { readonly type: 'reduced'; readonly jobId: string; readonly table: string }
  /** Answers `stitch`. */
  | { readonly type: 'stitched'; readonly jobId: string; readonly result: string }
  /** The host could not decode, reduce or stitch the job, and a retry would not help. */
  | {
      readonly type: 'workFailed';
      readonly jobId: string;
      readonly phase: 'decoding' | 'reducing' | 'stitching';
      readonly reason: string;
    }
  /** A record of the result topic. */
  | { readonly type: 'result'; readonly record: ResultRecord }
  | { readonly type: 'timeout'; readonly timer: Timer }
  | { readonly type: 'cancelled'; readonly jobId: string }
  /** The store refused a write, or the election reports a newer coordinator. */
  | { readonly type: 'deposed'; readonly epoch: number }
  /** The state was recovered: continue the jobs that are under way. */
  | { readonly type: 'resumed' };

/**
 * What the coordinator wants done. The host carries effects out in order, and finishes each before
 * the next.
 */
export type CoordinatorEffect =
  /**
   * Make the metadata durable, unless a newer coordinator exists. In that case drop the following
   * effects and answer with `deposed`.
   */
  | { readonly type: 'store'; readonly job: JobMetadata }
  /** Decode the upload into raw pixels. Answered by `decoded` or `workFailed`. */
  | { readonly type: 'decode'; readonly job: JobMetadata }
  /**
   * Append the task to that partition of the task topic. It is finished when the brokers have the
   * task.
   */
  | { readonly type: 'produce'; readonly partition: number; readonly task: TaskRecord }
  /**
   * Compute the table from the chunks' outputs, ordered by chunk id. Answered by `reduced` or
   * `workFailed`.
   */
  | { readonly type: 'reduce'; readonly job: JobMetadata; readonly outputs: readonly TaskOutput[] }
  /**
   * Assemble the image from the chunks' outputs, ordered by chunk id. Answered by `stitched` or
   * `workFailed`.
   */
  | { readonly type: 'stitch'; readonly job: JobMetadata; readonly outputs: readonly TaskOutput[] }
  | { readonly type: 'arm'; readonly timer: Timer; readonly afterMs: number }
  | { readonly type: 'disarm'; readonly timer: Timer }
  /** Stop decoding, reducing or stitching this job. Its answer is no longer expected. */
  | { readonly type: 'abandon'; readonly jobId: string }
  /** Remove the metadata and blobs of a job whose retention is over. */
  | { readonly type: 'forget'; readonly jobId: string }
  /** A result changed nothing. Count it. */
  | { readonly type: 'refuse'; readonly record: ResultRecord; readonly why: Refusal }
  /** Stop being the coordinator. */
  | { readonly type: 'stepDown'; readonly epoch: number };

/** Why a result changed nothing. Metrics and tests count by this closed list. */
export const refusals = [
  /** Made for a newer coordinator: this one is deposed. */
  'newer_coordinator_epoch',
  /** Made by a leader that has been replaced: its successor answers for the partition. */
  'older_partition_epoch',
  'unknown_job',
  'job_over',
  /** Made in a phase that is over or has not begun. */
  'other_phase',
  /**
   * Made for a coordinator that was deposed before this phase's plan was stored: its chunk ids may
   * mean other parts of the image.
   */
  'older_coordinator_epoch',
  'unknown_chunk',
  /**
   * The chunk is in with the same content. Harmless: a redelivery, or a straggler and its
   * repetition.
   */
  'repeated',
  /**
   * The chunk is in with other content: two nodes compute different results. The first result
   * stays.
   */
  'differs',
  /** A failure of an earlier attempt: it counted already, or another attempt is under way. */
  'superseded_attempt',
] as const;
export type Refusal = (typeof refusals)[number];
