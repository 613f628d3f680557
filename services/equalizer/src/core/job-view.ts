/** Combines the documents of a job into the view that callers get. */
import type { JobPhase } from '@thermomesh/mapreduce';
import type { JobDocument, JobProgress, JobView } from './jobs.ts';

/** A document and the transaction that wrote it. */
export interface Written<T> {
  document: T;
  zxid: bigint;
}

/**
 * Phases that are not stored, by the stored phase that precedes them; they appear only in the
 * coordinator's progress.
 */
const finer: Partial<Record<JobPhase, JobPhase>> = { mapping: 'reducing', applying: 'stitching' };

/**
 * The view of a job.
 * @param progress ignored if it belongs to another phase than the job's document
 */
export function viewOf(job: Written<JobDocument>, progress: Written<JobProgress> | undefined): JobView {
  const { submission, metadata } = job.document;
  const stored: JobPhase = metadata?.phase ?? 'queued';
  const shown = progress?.document;
  const fits = shown !== undefined && (shown.phase === stored || shown.phase === finer[stored]);
  return {
    submission,
    phase: fits ? (shown.phase as JobPhase) : stored,
    progress: fits && shown.chunks > 0 ? { done: shown.done, chunks: shown.chunks } : null,
    result: metadata?.result ?? null,
    reason: metadata?.reason ?? null,
    image: metadata?.image ?? null,
    version: versionOf(job.zxid, progress?.zxid ?? 0n),
  };
}

const versionPattern = /^[0-9a-f]{16}-[0-9a-f]{16}$/;

/**
 * The version of a view. Compared as text, a later view has a greater version. The job's document
 * comes first: both transaction numbers only grow, and a node that lags behind may know a newer
 * progress with an older document.
 */
function versionOf(job: bigint, progress: bigint): string {
  return [job, progress].map((zxid) => zxid.toString(16).padStart(16, '0')).join('-');
}

/** Whether `text` has the form of a version. Other text from callers is not compared. */
export function isVersion(text: string): boolean {
  return versionPattern.test(text);
}
