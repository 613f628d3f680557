/** Readings of a device as CSV (RFC 4180). */
import { ReadingPage } from '@thermomesh/contracts';
import { askAnalytics, queryOf } from './analytics.ts';
import type { Mesh } from './mesh.ts';

type Reading = ReadingPage['items'][number];

const columns = [
  'deviceId',
  'incarnation',
  'seq',
  'measuredAt',
  'receivedAt',
  'celsius',
  'setpointCelsius',
  'humidityPercent',
  'heating',
  'implausible',
] as const;
const pageRows = 1_000;

/** One line; an absent value is empty, and a time is RFC 3339 in UTC. */
export function csvLine(deviceId: string, reading: Reading): string {
  const { measuredAtMs, receivedAtMs, ...values } = reading;
  const row: Record<(typeof columns)[number], string | number | boolean | null> = {
    deviceId,
    incarnation: values.incarnation,
    seq: values.seq,
    measuredAt: new Date(measuredAtMs).toISOString(),
    receivedAt: new Date(receivedAtMs).toISOString(),
    celsius: values.celsius,
    setpointCelsius: values.setpointCelsius,
    humidityPercent: values.humidityPercent,
    heating: values.heating,
    implausible: values.implausible,
  };
  // Ids, numbers and times need no quotes.
  return columns.map((name) => row[name] ?? '').join(',');
}

/**
 * Reads all readings page by page.
 * @param write receives whole lines; the first one names the columns
 * @throws MeshError `mesh.refused`, `mesh.no_answer`
 */
export async function exportReadings(
  mesh: Mesh,
  { device, from, to }: { device: string; from?: string | undefined; to?: string | undefined },
  write: (lines: string) => void,
): Promise<void> {
  write(`${columns.join(',')}\n`);
  for (let cursor: string | undefined; ;) {
    const query = queryOf({ limit: pageRows, from, to, cursor });
    const page = await askAnalytics(mesh, 'GET', `/v1/devices/${device}/readings${query}`, ReadingPage);
    if (page.items.length > 0) write(`${page.items.map((row) => csvLine(device, row)).join('\n')}\n`);
    if (page.next === null) return;
    cursor = page.next;
  }
}
