/** Measures when a successor of the equalizer's coordinator has taken over. */
import { readEqualizerCoordinator } from '../../mesh/equalizers.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { linesSince } from '../../mesh/timeline.ts';
import { until } from '../../mesh/until.ts';

export interface ImageFailover {
  /** Epoch of the coordinator that got the fault. */
  epoch: number;
  hitAtMs: number;
  /** True if it was ended; a coordinator that was only paused may have no successor. */
  ended: boolean;
  timeoutMs: number;
}

/**
 * Measures the time from the fault until a coordinator of a higher epoch has every job, by its own
 * log.
 * @returns milliseconds; null if no successor was needed
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
    { what: `a coordinator of the equalizer that takes over after epoch ${epoch}`, timeoutMs, pollMs: 100 },
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

/**
 * Unix time in milliseconds of a log line that reports the recovery of a higher epoch; undefined
 * for any other line.
 */
export function recoveryOf(line: string, aboveEpoch: number): number | undefined {
  const [, time, epoch] = /"time":"([^"]+)".*"event":"coordinator\.recovered","epoch":(\d+)/.exec(line) ?? [];
  return time === undefined || Number(epoch) <= aboveEpoch ? undefined : Date.parse(time);
}
