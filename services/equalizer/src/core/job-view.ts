/** What the documents of a job come to for those who look at it. */
import type { JobPhase } from '@thermomesh/mapreduce';
import type { JobDocument, JobProgress, JobView } from './jobs.ts';

/** A document and the transaction that wrote it. */
export interface Written<T> {
  document: T;
  zxid: bigint;
}

/** Phases that are not stored, by the stored one that they end: only the coordinator's progress tells them apart. */
const finer: Partial<Record<JobPhase, JobPhase>> = { mapping: 'reducing', applying: 'stitching' };

/** @param progress may be missing, and may be of another phase than the job's: then it says nothing */
export function viewOf(job: Written<JobDocument>, progress: Written<JobProgress> | undefined): JobView {
  const { submission, metadata } = job.document;
  const stored: JobPhase = metadata?.phase ?? 'queued';
  const told = progress?.document;
  const fits = told !== undefined && (told.phase === stored || told.phase === finer[stored]);
  return {
    submission,
    phase: fits ? (told.phase as JobPhase) : stored,
    progress: fits && told.chunks > 0 ? { done: told.done, chunks: told.chunks } : null,
    result: metadata?.result ?? null,
    reason: metadata?.reason ?? null,
    image: metadata?.image ?? null,
    version: versionOf(job.zxid, progress?.zxid ?? 0n),
  };
}

const versionPattern = /^[0-9a-f]{16}-[0-9a-f]{16}$/;

/**
 * Compared as text, a later view has the greater one: the job's own document first, because each of the two only grows, and a node
 * that lags behind may know more of one and less of the other.
 */
function versionOf(job: bigint, progress: bigint): string {
  return [job, progress].map((zxid) => zxid.toString(16).padStart(16, '0')).join('-');
}

/** Whether a text can be the version of a view; what else comes from outside is not compared. */
export function isVersion(text: string): boolean {
  return versionPattern.test(text);
}
