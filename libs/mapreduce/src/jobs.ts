/** Functions that read and update the coordinator's state. */
import type { JobMetadata, TaskOutput, TaskPhase, TaskRecord } from '@thermomesh/contracts';
import { chunkCount, rectangleOf } from './plan.ts';
import type { Contribution, CoordinatorState, Issue, Job, JobPhase, MapReduceLimits } from './types.ts';

/** The state of a coordinator without jobs. */
export function initialState(epoch: number, limits: MapReduceLimits): CoordinatorState {
  return { epoch, limits, jobs: {}, partitionEpochs: {}, deposed: false };
}

/** Returns the job at the beginning of its phase. */
export function jobAtStart(metadata: JobMetadata): Job {
  const none = Array.from({ length: chunksIn(metadata) }, () => null);
  return { metadata, issues: none, contributions: none, inFlight: 0, done: 0 };
}

/** Returns the job with `issue` as the chunk's present attempt. */
export function withIssue(job: Job, chunk: number, issue: Issue): Job {
  const inFlight = job.inFlight + (job.issues[chunk] === null ? 1 : 0);
  return { ...job, issues: job.issues.with(chunk, issue), inFlight };
}

/** Returns the job with the chunk's contribution; the chunk is no longer awaited. */
export function withContribution(job: Job, chunk: number, contribution: Contribution): Job {
  const inFlight = job.inFlight - (job.issues[chunk] === null ? 0 : 1);
  const issues = job.issues.with(chunk, null);
  const contributions = job.contributions.with(chunk, contribution);
  return { ...job, issues, contributions, inFlight, done: job.done + 1 };
}

/** The awaited chunks and their attempts. */
export function issuesOf(job: Job): [number, Issue][] {
  return job.issues.flatMap((issue, chunk): [number, Issue][] => (issue === null ? [] : [[chunk, issue]]));
}

/** Returns whether the limits allow one more job. */
export function mayAccept(state: CoordinatorState): boolean {
  return jobsOf(state).filter((job) => !isOver(job)).length < state.limits.openJobsMax;
}

/** The phase of the job, including those that are not stored. */
export function phaseOf(job: Job): JobPhase {
  const { phase } = job.metadata;
  if (phase === 'mapping') return allIn(job) ? 'reducing' : phase;
  if (phase === 'applying') return allIn(job) ? 'stitching' : phase;
  return phase;
}

/**
 * Number of chunks that are in, and of all chunks, in the present phase; zeros in a phase without
 * chunks.
 */
export function progressOf(job: Job): { done: number; of: number } {
  return { done: job.done, of: job.contributions.length };
}

/** Returns whether the job has finished, failed or been cancelled. */
export function isOver(job: Job): boolean {
  const { phase } = job.metadata;
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}

/** Returns whether the job occupies one of the places for running jobs. */
export function isRunning(job: Job): boolean {
  return !isOver(job) && job.metadata.phase !== 'queued';
}

/** All jobs in the order in which they were submitted. */
export function jobsOf(state: CoordinatorState): Job[] {
  return Object.values(state.jobs).sort((a, b) => a.metadata.number - b.metadata.number);
}

/** The job's phase if it has tasks; undefined in every other phase. */
export function taskPhaseOf(job: Job): TaskPhase | undefined {
  const { phase } = job.metadata;
  return phase === 'mapping' || phase === 'applying' ? phase : undefined;
}

/**
 * The lowest chunk of the present phase that was never issued and is not in; undefined if there is
 * none.
 */
export function firstUnissued(job: Job): number | undefined {
  if (job.inFlight + job.done === job.issues.length) return undefined;
  return job.issues.findIndex((issue, chunk) => issue === null && job.contributions[chunk] === null);
}

/** The chunks' outputs, ordered by chunk id. */
export function outputsOf(job: Job): TaskOutput[] {
  return job.contributions.flatMap((contribution) => (contribution === null ? [] : [contribution.output]));
}

/**
 * Makes the task of one attempt at one chunk.
 * @throws Error if the job is in a phase without tasks
 */
export function taskOf(
  metadata: JobMetadata,
  chunk: number,
  issue: { attempt: number; coordinatorEpoch: number; failures: number },
): TaskRecord {
  const { id, phase, image, grid, table, parameters } = metadata;
  if ((phase !== 'mapping' && phase !== 'applying') || image === null || grid === null) {
    throw new Error(`job ${id} has no tasks while it is ${phase}`);
  }
  const rectangle = rectangleOf(grid, chunk);
  return {
    type: 'equalizer.task.v1',
    jobId: id,
    phase,
    chunk,
    ...issue,
    rectangle,
    image,
    table,
    parameters,
  };
}

function allIn(job: Job): boolean {
  return job.done === job.contributions.length;
}

function chunksIn({ phase, grid }: JobMetadata): number {
  return grid !== null && (phase === 'mapping' || phase === 'applying') ? chunkCount(grid) : 0;
}
