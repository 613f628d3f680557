/** When a successor of the equalizer's coordinator has begun to work. */
import { linesSince } from './timeline.ts';
import { readEqualizerCoordinator } from '../client/equalizers.ts';
import type { Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';

export interface ImageFailover {
  /** Of the coordinator that was hit. */
  epoch: number;
  hitAtMs: number;
  /** It was ended; one that was only paused may rightly have no successor. */
  ended: boolean;
  timeoutMs: number;
}

/**
 * From the blow to the moment when a coordinator of a higher epoch has every job back and goes on, by its own log.
 * @returns null if there was no need for one
 * @throws MeshError `mesh.timeout`
 */
export async function measureImageFailover(
  mesh: Mesh,
  { epoch, hitAtMs, ended, timeoutMs }: ImageFailover,
): Promise<number | null> {
  const changed = async () => ((await readEqualizerCoordinator(mesh))?.epoch ?? 0) > epoch;
  if (ended) await until({ what: `an equalizer epoch above ${epoch}`, timeoutMs, pollMs: 100 }, changed);
  else if (!(await changed())) return null;
  return until(
    { what: `a coordinator of the equalizer that goes on after epoch ${epoch}`, timeoutMs, pollMs: 100 },
    async () => {
      await mesh.host.bringLogs(new Date(hitAtMs).toISOString(), 'equalizer');
      return recoveredAfter(mesh, epoch, hitAtMs);
    },
  );
}

async function recoveredAfter(mesh: Mesh, epoch: number, hitAtMs: number): Promise<number | undefined> {
  const since = new Date(hitAtMs).toISOString();
  const times = (mesh.run()?.processes ?? [])
    .filter(({ role }) => role === 'equalizer')
    .flatMap(({ name }) => linesSince(mesh.layout.logFile(name), since))
    .flatMap((line) => recoveryOf(line, epoch) ?? []);
  return times.length === 0 ? undefined : Math.max(0, Math.min(...times) - hitAtMs);
}

/** Unix ms of the line that tells of it. */
export function recoveryOf(line: string, aboveEpoch: number): number | undefined {
  const [, time, epoch] = /"time":"([^"]+)".*"event":"coordinator\.recovered","epoch":(\d+)/.exec(line) ?? [];
  return time === undefined || Number(epoch) <= aboveEpoch ? undefined : Date.parse(time);
}
