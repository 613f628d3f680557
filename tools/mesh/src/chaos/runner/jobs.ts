/** The image jobs of a series, for the targets that concern them. */
import { keepJobs } from '../../mesh/evidence/jobs.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { Timeline } from '../../mesh/timeline.ts';
import { startJobLoad, type JobLoad } from '../../workloads/images/load.ts';
import { hasEqualizer, jobPlaceOf } from '../../mesh/images/place.ts';
import type { ChaosOptions } from './options.ts';

/** The equalizer, and what it depends on. */
const concerned: ReadonlySet<ChaosOptions['target']> = new Set([
  'equalizer-coordinator',
  'equalizer-worker',
  'kafka',
  'zookeeper',
  'random',
]);
const perSecondDefault = 2;

/**
 * Starts the job load; undefined if there is no load, no equalizer, or neither the target nor the
 * caller asks for jobs.
 */
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
    keeper: keepJobs(mesh, 'chaos'),
  });
}
