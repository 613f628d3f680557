/** The words of the coordinator's side: what happens to it, what it wants done, what it remembers. */
import type {
  JobMetadata,
  JobParameters,
  ResultRecord,
  SpooledImage,
  TaskOutput,
  TaskPhase,
  TaskRecord,
} from '@thermomesh/contracts';

export interface MapReduceLimits {
  /** Jobs that run at the same time; the others are queued. */
  readonly runningJobsMax: number;
  /** Jobs that are not over; more are not to be submitted ({@link mayAccept}). */
  readonly openJobsMax: number;
  /** Tasks of all jobs that were produced and not answered. */
  readonly tasksInFlightMax: number;
  /** Failures of one chunk in one phase, of different attempts, that fail the job. */
  readonly failuresPerChunkMax: number;
  /** Attempts at one chunk in one phase: the job fails when the last of them is not answered in time. */
  readonly attemptsPerChunkMax: number;
  /** Coordinators that may end while they decode, reduce or stitch one job before it is taken for their poison. */
  readonly restartsPerPhaseMax: number;
  /** An attempt without an answer after this is repeated; the time doubles with each attempt. */
  readonly stragglerTimeoutMs: number;
  /** The longest that it doubles to. */
  readonly stragglerTimeoutMaxMs: number;
  readonly chunksPerJobMax: number;
  /** Partitions of the task topic. */
  readonly taskPartitions: number;
  /** How long a job that is over is remembered. */
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

/** Every limit that makes no sense and every relation among them that does not hold, one line each. */
export function mapReduceLimitFaults(limits: MapReduceLimits): string[] {
  const faults = Object.entries(limits)
    .filter(([, value]: [string, number]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name]) => `${name} must be a positive integer`);
  if (limits.stragglerTimeoutMaxMs < limits.stragglerTimeoutMs)
    faults.push('stragglerTimeoutMaxMs must not be below stragglerTimeoutMs');
  if (limits.attemptsPerChunkMax < limits.failuresPerChunkMax)
    faults.push('attemptsPerChunkMax must not be below failuresPerChunkMax');
  if (limits.openJobsMax < limits.runningJobsMax) faults.push('openJobsMax must not be below runningJobsMax');
  return faults;
}

/**
 * Where a job stands. `reducing` and `stitching` are not stored: they are `mapping` and `applying` with every chunk in
 * ({@link phaseOf}), so a successor sees them in the records.
 */
export type JobPhase = JobMetadata['phase'] | 'reducing' | 'stitching';

/** A chunk that was issued and is not answered: its latest attempt. */
export interface Issue {
  readonly attempt: number;
  /** Of the coordinator that issued it. */
  readonly coordinatorEpoch: number;
  /** Earlier attempts that ended with a failure. */
  readonly failures: number;
}

/** What a chunk has contributed to the present phase. */
export interface Contribution {
  readonly digest: string;
  readonly output: TaskOutput;
}

/** A job in the coordinator's memory. All but `metadata` can be read back from the records of the present phase. */
export interface Job {
  readonly metadata: JobMetadata;
  /** By chunk id: the attempt that is not answered yet, if there is one. Empty in a phase without chunks. */
  readonly issues: readonly (Issue | null)[];
  /** By chunk id, and never a sum: a result that comes twice changes nothing (I4). */
  readonly contributions: readonly (Contribution | null)[];
  /** How many issues there are. */
  readonly inFlight: number;
  /** How many contributions there are. */
  readonly done: number;
}

/** All that a coordinator remembers. Never changed in place. */
export interface CoordinatorState {
  readonly epoch: number;
  readonly limits: MapReduceLimits;
  readonly jobs: Readonly<Record<string, Job>>;
  /** The highest epoch of a leader seen in the results, by partition. */
  readonly partitionEpochs: Readonly<Record<number, number>>;
  /** A newer coordinator exists: nothing is done any more. */
  readonly deposed: boolean;
}

export type Timer =
  | {
      readonly kind: 'straggler';
      readonly jobId: string;
      readonly phase: TaskPhase;
      readonly chunk: number;
      readonly attempt: number;
    }
  | { readonly kind: 'retention'; readonly jobId: string };

/** What happens to a coordinator. */
export type CoordinatorEvent =
  /** A caller hands in a job; `number` is higher than that of every earlier job. A known id changes nothing. */
  | {
      readonly type: 'submitted';
      readonly id: string;
      readonly number: number;
      readonly caller: string;
      readonly input: string;
      readonly parameters: JobParameters;
    }
  /** Answers `decode`. `chunkPixelsMax` is the dynamic configuration at this moment; the plan keeps to it. */
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
  /** The coordinator's own work on the job cannot be done, now or later. */
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
  /** The store refused a write, or the election says so. */
  | { readonly type: 'deposed'; readonly epoch: number }
  /** The state was recovered: take up what is under way. */
  | { readonly type: 'resumed' };

/** What the coordinator wants done. The host carries effects out in order, each finished before the next. */
export type CoordinatorEffect =
  /** Make the metadata durable, unless a newer coordinator exists: then nothing of what follows, and `deposed` as the answer. */
  | { readonly type: 'store'; readonly job: JobMetadata }
  /** Decode the upload into raw pixels. Answered by `decoded` or `workFailed`. */
  | { readonly type: 'decode'; readonly job: JobMetadata }
  /** Append the task to that partition of the task topic; returns when the brokers have it. */
  | { readonly type: 'produce'; readonly partition: number; readonly task: TaskRecord }
  /** Make the table from the chunks' outputs, which are in the order of their ids. Answered by `reduced` or `workFailed`. */
  | { readonly type: 'reduce'; readonly job: JobMetadata; readonly outputs: readonly TaskOutput[] }
  /** Make the image from the chunks' outputs, which are in the order of their ids. Answered by `stitched` or `workFailed`. */
  | { readonly type: 'stitch'; readonly job: JobMetadata; readonly outputs: readonly TaskOutput[] }
  | { readonly type: 'arm'; readonly timer: Timer; readonly afterMs: number }
  | { readonly type: 'disarm'; readonly timer: Timer }
  /** Stop decoding, reducing or stitching for it; its answer is not awaited any more. */
  | { readonly type: 'abandon'; readonly jobId: string }
  /** Remove metadata and blobs of a job whose retention is over. */
  | { readonly type: 'forget'; readonly jobId: string }
  /** A result changed nothing: count it. */
  | { readonly type: 'refuse'; readonly record: ResultRecord; readonly why: Refusal }
  /** Stop being the coordinator. */
  | { readonly type: 'stepDown'; readonly epoch: number };

/** Why a result changed nothing. A closed list: metrics and tests count by it. */
export const refusals = [
  /** Made for a coordinator that came after this one: this one is deposed. */
  'newer_coordinator_epoch',
  /** A leader that has been replaced made it: its successor answers for the partition. */
  'older_partition_epoch',
  'unknown_job',
  'job_over',
  /** Of a phase that is over, or that has not begun. */
  'other_phase',
  /** Made for a coordinator that was deposed before this phase's plan was stored: its chunks may be other chunks. */
  'older_coordinator_epoch',
  'unknown_chunk',
  /** The chunk is in, with the same content. Harmless: redelivery, or a straggler and its repetition. */
  'repeated',
  /** The chunk is in, with other content: two nodes do not compute the same. The first stays. */
  'differs',
  /** A failure of an attempt that is not the present one: it counted already, or another attempt is under way. */
  'superseded_attempt',
] as const;
export type Refusal = (typeof refusals)[number];
