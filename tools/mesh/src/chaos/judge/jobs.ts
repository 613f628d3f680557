/** The verdict on the promises from the image jobs of a series. */
import type { InvariantVerdict, JobsDocument } from '@thermomesh/contracts';

/** Judges I4 and I5 by the jobs of this series. */
export function judgeJobPromises(jobs: JobsDocument): InvariantVerdict[] {
  const { accepted, finished, failed, identical, findings = [] } = jobs;
  const of = (...kinds: string[]) =>
    findings
      .filter(({ kind }) => kinds.includes(kind))
      .map(({ kind, job, detail }) => `; ${kind} ${job ?? '-'}: ${detail}`)
      .join('');
  return [
    {
      id: 'I4',
      ok: identical,
      detail: `${finished} images compared byte by byte with the single-process result${of('differs')}`,
    },
    {
      id: 'I5',
      ok: accepted > 0 && failed === 0,
      detail: `${accepted} jobs accepted, ${finished} finished, ${failed} not${of('failed', 'unfinished', 'no_result')}`,
    },
  ];
}
