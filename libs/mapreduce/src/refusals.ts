/** Decides which results change nothing, and why (I4). */
import type { ResultRecord } from '@thermomesh/contracts';
import { isOver } from './jobs.ts';
import type { CoordinatorState, Job, Refusal } from './types.ts';

/**
 * Returns why a result changes nothing; undefined if it counts.
 * - A finished chunk counts if it is the first result of its chunk in the present phase. It does
 *   not matter which attempt made it, because every attempt computes the same.
 * - A failure counts if it belongs to the present attempt.
 */
export function refusalOf(state: CoordinatorState, record: ResultRecord): Refusal | undefined {
  if (record.coordinatorEpoch > state.epoch) return 'newer_coordinator_epoch';
  const highest = state.partitionEpochs[record.partition] ?? 0;
  if (record.partitionEpoch < highest) return 'older_partition_epoch';
  const job = state.jobs[record.jobId];
  if (job === undefined) return 'unknown_job';
  if (isOver(job)) return 'job_over';
  if (record.phase !== job.metadata.phase) return 'other_phase';
  // The phase's plan became durable in that epoch. A coordinator that was deposed earlier may have
  // planned other chunks.
  if (record.coordinatorEpoch < job.metadata.phaseEpoch) return 'older_coordinator_epoch';
  if (record.chunk >= job.contributions.length) return 'unknown_chunk';
  return refusalInPhase(job, record);
}

function refusalInPhase(job: Job, record: ResultRecord): Refusal | undefined {
  const { outcome, chunk } = record;
  const known = job.contributions[chunk];
  if (outcome.kind === 'done') {
    if (known === null || known === undefined) return undefined;
    return known.digest === outcome.digest ? 'repeated' : 'differs';
  }
  const issue = job.issues[chunk];
  const present = issue?.attempt === record.attempt && issue.coordinatorEpoch === record.coordinatorEpoch;
  return present ? undefined : 'superseded_attempt';
}
