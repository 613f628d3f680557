/**
 * Decides which job and which chunk comes next. Callers take turns, however many jobs each of them
 * has. The decision depends only on the jobs, so a successor decides alike.
 */
import { firstUnissued, isRunning, jobsOf } from './jobs.ts';
import type { CoordinatorState, Job } from './types.ts';

/**
 * The queued job that starts next. It belongs to the caller with the fewest running jobs; among
 * those, to the caller that has waited longest for a turn.
 */
export function nextJob(state: CoordinatorState): Job | undefined {
  const jobs = jobsOf(state);
  const running = jobs.filter(isRunning);
  if (running.length >= state.limits.runningJobsMax) return undefined;
  const rank = ({ metadata: { caller } }: Job) => [
    running.filter(({ metadata }) => metadata.caller === caller).length,
    Math.max(0, ...jobs.map(({ metadata }) => (metadata.caller === caller ? (metadata.turn ?? 0) : 0))),
  ];
  return lowest(
    jobs.filter(({ metadata }) => metadata.phase === 'queued'),
    rank,
  );
}

/**
 * The chunk that is issued next. It belongs to the caller with the fewest tasks in flight; among
 * those, to the job with the fewest.
 */
export function nextChunk(state: CoordinatorState): { job: Job; chunk: number } | undefined {
  const running = jobsOf(state).filter(isRunning);
  const inFlight = (caller?: string) =>
    running
      .filter(({ metadata }) => caller === undefined || metadata.caller === caller)
      .reduce((sum, job) => sum + job.inFlight, 0);
  if (inFlight() >= state.limits.tasksInFlightMax) return undefined;
  const waiting = running.filter((job) => firstUnissued(job) !== undefined);
  const job = lowest(waiting, (one) => [inFlight(one.metadata.caller), one.inFlight]);
  const chunk = job === undefined ? undefined : firstUnissued(job);
  return job === undefined || chunk === undefined ? undefined : { job, chunk };
}

/** The first job with the lowest rank. */
function lowest(jobs: Job[], rank: (job: Job) => number[]): Job | undefined {
  let best: { job: Job; rank: number[] } | undefined;
  for (const job of jobs) {
    const own = rank(job);
    if (best === undefined || isBelow(own, best.rank)) best = { job, rank: own };
  }
  return best?.job;
}

function isBelow(a: number[], b: number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}
