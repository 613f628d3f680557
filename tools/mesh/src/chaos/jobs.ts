/** Image jobs as a part of a series: which targets have them, and what they say about the promises. */
import type { InvariantVerdict, JobsDocument } from '@thermomesh/contracts';
import type { Mesh } from '../client/mesh.ts';
import { startJobLoad, type JobLoad } from '../equalize/load.ts';
import { hasEqualizer, jobPlaceOf } from '../equalize/place.ts';
import type { ChaosOptions } from './run.ts';
import type { Timeline } from './timeline.ts';

/** What the equalizer stands on, or is. */
const concerned: ReadonlySet<ChaosOptions['target']> = new Set([
  'equalizer-coordinator',
  'equalizer-worker',
  'kafka',
  'zookeeper',
  'random',
]);
const perSecondDefault = 2;

/** Undefined if there is no load, or no equalizer, or neither the target nor the caller wants jobs. */
export async function startJobs(
  mesh: Mesh,
  { load, target }: ChaosOptions,
  timeline: Timeline,
): Promise<JobLoad | undefined> {
  const unasked = load !== undefined && concerned.has(target) ? perSecondDefault : 0;
  const perSecond = load?.jobs?.perSecond ?? unasked;
  if (perSecond === 0 || !hasEqualizer(mesh)) return undefined;
  return startJobLoad({
    ...load?.jobs,
    config: mesh.config,
    place: jobPlaceOf(mesh),
    name: 'chaos',
    perSecond,
    note: timeline.note,
  });
}

/** I4 and I5 as the jobs of this series have seen them. */
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
      detail: `${finished} images compared byte by byte with those of one process alone${of('differs')}`,
    },
    {
      id: 'I5',
      ok: accepted > 0 && failed === 0,
      detail: `${accepted} jobs accepted, ${finished} finished, ${failed} not${of('failed', 'unfinished', 'no_result')}`,
    },
  ];
}
