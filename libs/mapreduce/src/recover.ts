/** Rebuilds a coordinator's state from what its predecessor has left. */
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import { initialState, jobAtStart, withIssue } from './jobs.ts';
import { absorb } from './step.ts';
import type { CoordinatorState, Issue, Job, MapReduceLimits } from './types.ts';

/**
 * The records of the two topics, in the order in which they were read. The order within each
 * partition is that of the topic.
 */
export interface JobRecords {
  readonly tasks: Iterable<TaskRecord>;
  readonly results: Iterable<ResultRecord>;
}

/**
 * Returns the state of a coordinator of `epoch`, from what is durable. Read the metadata after the
 * epoch was won, and the topics up to the end that they have then. Everything that the predecessor
 * had made durable is in the state; `step(state, {type: 'resumed'})` continues from it. If a record
 * names a newer coordinator, the state is `deposed`: step down.
 */
export function recover(
  jobs: Iterable<JobMetadata>,
  records: JobRecords,
  epoch: number,
  limits: MapReduceLimits,
): CoordinatorState {
  const known: Record<string, Job> = {};
  for (const metadata of jobs) known[metadata.id] = jobAtStart(metadata);
  for (const task of records.tasks) {
    const job = known[task.jobId];
    if (job !== undefined && isOfPhase(job, task)) known[task.jobId] = withTask(job, task);
  }
  let state: CoordinatorState = { ...initialState(epoch, limits), jobs: known };
  for (const result of records.results) state = absorb(state, result);
  return state;
}

/** Ignores tasks of an earlier phase, and tasks of a coordinator that had another plan. */
function isOfPhase(job: Job, task: TaskRecord): boolean {
  const { phase, phaseEpoch } = job.metadata;
  return task.phase === phase && task.coordinatorEpoch >= phaseEpoch && task.chunk < job.issues.length;
}

function withTask(job: Job, task: TaskRecord): Job {
  const { chunk, attempt, coordinatorEpoch, failures } = task;
  const known = job.issues[chunk];
  const issue: Issue = { attempt, coordinatorEpoch, failures };
  return known === null || known === undefined || isLater(issue, known) ? withIssue(job, chunk, issue) : job;
}

function isLater(a: Issue, b: Issue): boolean {
  return a.coordinatorEpoch === b.coordinatorEpoch
    ? a.attempt > b.attempt
    : a.coordinatorEpoch > b.coordinatorEpoch;
}
