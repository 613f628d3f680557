/** Judges image jobs by what their caller has seen. Pure. */
import type { JobsDocument } from '@thermomesh/contracts';
import { summarise } from '../../durations.ts';

type Finding = NonNullable<JobsDocument['findings']>[number];

/** One job as its caller has seen it. */
export interface JobSeen {
  /** Kind of the sample. */
  kind: string;
  /** Null without a 201. */
  id: string | null;
  /** True if it ended before the first fault. */
  undisturbed: boolean;
  /** Time from the first byte of the upload to the 201. */
  acceptMs: number | null;
  /** Time from the 201 to the final event; null if there was none. */
  jobMs: number | null;
  /** The broken promise; undefined if the job finished with the expected result. */
  finding: Omit<Finding, 'job'> | undefined;
}

const findingsMax = 20;

/**
 * Judges whether accepted jobs survive (I5), and whether each image is that of a single process
 * (I4).
 */
export function judgeJobs(seen: readonly JobSeen[]): { ok: boolean; document: JobsDocument } {
  const accepted = seen.filter(({ id }) => id !== null);
  const isFinished = ({ finding }: JobSeen) => finding === undefined || finding.kind === 'differs';
  const finished = accepted.filter(isFinished).length;
  const findings = seen.flatMap(({ id, finding }) =>
    finding === undefined ? [] : [{ ...finding, job: id }],
  );
  const disturbed = accepted.filter(({ undisturbed }) => !undisturbed);
  const document: JobsDocument = {
    accepted: accepted.length,
    finished,
    failed: accepted.length - finished,
    identical: finished > 0 && !findings.some(({ kind }) => kind === 'differs'),
    undisturbedMs: summarise(valuesOf(accepted.filter(({ undisturbed }) => undisturbed))),
    addedMs: summarise(addedTo(disturbed, mediansOf(accepted))),
    acceptMs: summarise(disturbed.flatMap(({ acceptMs }) => acceptMs ?? [])),
    findings: findings.slice(0, findingsMax),
  };
  return { ok: accepted.length > 0 && findings.length === 0, document };
}

function valuesOf(jobs: readonly JobSeen[]): number[] {
  return jobs.flatMap(({ jobMs }) => jobMs ?? []);
}

/** The median time of each kind without faults. */
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

/** A job of a kind that never ran without faults cannot be compared. */
function addedTo(jobs: readonly JobSeen[], medians: ReadonlyMap<string, number>): number[] {
  return jobs.flatMap(({ kind, jobMs }) => {
    const usual = medians.get(kind);
    return jobMs === null || usual === undefined ? [] : [Math.max(0, jobMs - usual)];
  });
}
