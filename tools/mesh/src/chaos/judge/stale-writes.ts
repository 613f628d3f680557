/** Counts from outside how often the fence has refused a deposed coordinator (I2). */
import { existsSync, readFileSync } from 'node:fs';
import type { Mesh } from '../../mesh/mesh.ts';

const staleEvent = 'drain.stale_write_refused';
const staleMetric = 'thermomesh_stale_writes_refused_total';

export interface StaleWriteCount {
  /** Number of refusals since the count began. */
  total(): Promise<number>;
}

/**
 * Counts from now on. Logs outlive the processes that wrote them; the metric survives lost logs,
 * but restarts from 0 with each process. The result is the larger of the two counts.
 */
export async function countStaleWrites(mesh: Mesh): Promise<StaleWriteCount> {
  const since = new Date().toISOString();
  const atStart = await metricByPid(mesh);
  return {
    async total() {
      let byMetric = 0;
      for (const [pid, value] of await metricByPid(mesh)) byMetric += value - (atStart.get(pid) ?? 0);
      return Math.max(byMetric, eventsSince(mesh, since));
    },
  };
}

async function metricByPid(mesh: Mesh): Promise<Map<number, number>> {
  const values = new Map<number, number>();
  const nodes = (mesh.run()?.processes ?? []).filter(({ role }) => role === 'analytics');
  await Promise.all(
    nodes.map(async ({ pid, url }) => {
      const text = url === null ? undefined : await mesh.http.text(`${url}/metrics`);
      if (pid !== null && text !== undefined) values.set(pid, metricValue(text));
    }),
  );
  return values;
}

/** The sum of the metric's samples in Prometheus' text format. */
export function metricValue(text: string): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(`${staleMetric} `) || line.startsWith(`${staleMetric}{`))
      sum += Number(line.split(' ').at(-1));
  }
  return sum;
}

function eventsSince(mesh: Mesh, since: string): number {
  let count = 0;
  for (const { name, role } of mesh.run()?.processes ?? []) {
    if (role !== 'analytics') continue;
    for (const file of [`${mesh.layout.logFile(name)}.1`, mesh.layout.logFile(name)]) {
      if (existsSync(file)) count += countEvents(readFileSync(file, 'utf8'), since);
    }
  }
  return count;
}

/** Number of log lines of the event that are not older than `since` (ISO 8601, UTC). */
export function countEvents(log: string, since: string): number {
  return log.split('\n').filter((line) => line.includes(`"${staleEvent}"`) && isSince(line, since)).length;
}

function isSince(line: string, since: string): boolean {
  const time = /"time":"([^"]+)"/.exec(line)?.[1];
  return time !== undefined && time >= since;
}
