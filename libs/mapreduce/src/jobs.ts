/** Questions that the coordinator asks of its state. */
import type { JobMetadata, TaskOutput, TaskPhase, TaskRecord } from '@thermomesh/contracts';
import { chunkCount, rectangleOf } from './plan.ts';
import type { Contribution, CoordinatorState, Issue, Job, JobPhase, MapReduceLimits } from './types.ts';

/** A coordinator without jobs. */
export function initialState(epoch: number, limits: MapReduceLimits): CoordinatorState {
  return { epoch, limits, jobs: {}, partitionEpochs: {}, deposed: false };
}

/** A job at the beginning of its phase. */
export function jobAtStart(metadata: JobMetadata): Job {
  const none = Array.from({ length: chunksIn(metadata) }, () => null);
  return { metadata, issues: none, contributions: none, inFlight: 0, done: 0 };
}

/** The job with that attempt at the chunk as the present one. */
export function withIssue(job: Job, chunk: number, issue: Issue): Job {
  const inFlight = job.inFlight + (job.issues[chunk] === null ? 1 : 0);
  return { ...job, issues: job.issues.with(chunk, issue), inFlight };
}

/** The job with the chunk in, and no longer awaited. */
export function withContribution(job: Job, chunk: number, contribution: Contribution): Job {
  const inFlight = job.inFlight - (job.issues[chunk] === null ? 0 : 1);
  const issues = job.issues.with(chunk, null);
  const contributions = job.contributions.with(chunk, contribution);
  return { ...job, issues, contributions, inFlight, done: job.done + 1 };
}

/** Chunks that are awaited, with their attempts. */
export function issuesOf(job: Job): [number, Issue][] {
  return job.issues.flatMap((issue, chunk): [number, Issue][] => (issue === null ? [] : [[chunk, issue]]));
}

/** False if another job would be one too many. */
export function mayAccept(state: CoordinatorState): boolean {
  return jobsOf(state).filter((job) => !isOver(job)).length < state.limits.openJobsMax;
}

/** Where the job stands, the phases that are only in the records included. */
export function phaseOf(job: Job): JobPhase {
  const { phase } = job.metadata;
  if (phase === 'mapping') return allIn(job) ? 'reducing' : phase;
  if (phase === 'applying') return allIn(job) ? 'stitching' : phase;
  return phase;
}

/** Chunks that are in and all chunks, of the present phase; zeros outside of the two phases that have chunks. */
export function progressOf(job: Job): { done: number; of: number } {
  return { done: job.done, of: job.contributions.length };
}

export function isOver(job: Job): boolean {
  const { phase } = job.metadata;
  return phase === 'finished' || phase === 'failed' || phase === 'cancelled';
}

/** True if it takes one of the places of running jobs. */
export function isRunning(job: Job): boolean {
  return !isOver(job) && job.metadata.phase !== 'queued';
}

/** All jobs in the order in which they came. */
export function jobsOf(state: CoordinatorState): Job[] {
  return Object.values(state.jobs).sort((a, b) => a.metadata.number - b.metadata.number);
}

export function taskPhaseOf(job: Job): TaskPhase | undefined {
  const { phase } = job.metadata;
  return phase === 'mapping' || phase === 'applying' ? phase : undefined;
}

/** The lowest chunk of the present phase that was never issued and is not in; undefined if there is none. */
export function firstUnissued(job: Job): number | undefined {
  if (job.inFlight + job.done === job.issues.length) return undefined;
  return job.issues.findIndex((issue, chunk) => issue === null && job.contributions[chunk] === null);
}

/** What the chunks have contributed, in the order of their ids. */
export function outputsOf(job: Job): TaskOutput[] {
  return job.contributions.flatMap((contribution) => (contribution === null ? [] : [contribution.output]));
}

/** The task of one attempt at one chunk. */
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
