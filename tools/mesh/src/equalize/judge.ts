/** What image jobs came to, from what a caller has seen. Pure. */
import type { JobsDocument } from '@thermomesh/contracts';
import { summarise } from '../chaos/summary.ts';

type Finding = NonNullable<JobsDocument['findings']>[number];

/** One job as its caller has seen it. */
export interface JobSeen {
  /** Which sample. */
  kind: string;
  /** Null: there was no 201. */
  id: string | null;
  /** It was over before the first blow: measured undisturbed. */
  undisturbed: boolean;
  /** From the first byte of the upload to the 201. */
  acceptMs: number | null;
  /** From the 201 to the final event; null if that never came. */
  jobMs: number | null;
  /** What is wrong with it; undefined: it is finished, and its result is what it must be. */
  fault: Omit<Finding, 'job'> | undefined;
}

const findingsMax = 20;

/** Accepted work survives (I5), and the image is that of one process (I4). */
export function judgeJobs(seen: readonly JobSeen[]): { ok: boolean; document: JobsDocument } {
  const accepted = seen.filter(({ id }) => id !== null);
  const isFinished = ({ fault }: JobSeen) => fault === undefined || fault.kind === 'differs';
  const finished = accepted.filter(isFinished).length;
  const faulty = seen.flatMap(({ id, fault }) => (fault === undefined ? [] : [{ ...fault, job: id }]));
  const disturbed = accepted.filter(({ undisturbed }) => !undisturbed);
  const document: JobsDocument = {
    accepted: accepted.length,
    finished,
    failed: accepted.length - finished,
    identical: finished > 0 && !faulty.some(({ kind }) => kind === 'differs'),
    undisturbedMs: summarise(valuesOf(accepted.filter(({ undisturbed }) => undisturbed))),
    addedMs: summarise(addedTo(disturbed, mediansOf(accepted))),
    acceptMs: summarise(disturbed.flatMap(({ acceptMs }) => acceptMs ?? [])),
    findings: faulty.slice(0, findingsMax),
  };
  return { ok: accepted.length > 0 && faulty.length === 0, document };
}

function valuesOf(jobs: readonly JobSeen[]): number[] {
  return jobs.flatMap(({ jobMs }) => jobMs ?? []);
}

/** The usual time of each kind. */
function mediansOf(jobs: readonly JobSeen[]): Map<string, number> {
  const byKind = Map.groupBy(
    jobs.filter(({ undisturbed }) => undisturbed),
    ({ kind }) => kind,
  );
  const medians = new Map<string, number>();
  for (const [kind, some] of byKind) {
    const median = summarise(valuesOf(some))?.p50;
    if (median !== undefined) medians.set(kind, median);
  }
  return medians;
}

/** A job of a kind that was never seen undisturbed cannot be compared. */
function addedTo(jobs: readonly JobSeen[], medians: ReadonlyMap<string, number>): number[] {
  return jobs.flatMap(({ kind, jobMs }) => {
    const usual = medians.get(kind);
    return jobMs === null || usual === undefined ? [] : [Math.max(0, jobMs - usual)];
  });
}
