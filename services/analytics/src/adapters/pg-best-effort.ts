/** What PostgreSQL keeps beside the promises: readings at QoS 0, and notices about devices. */
import type { DevicesReport } from '@thermomesh/contracts';
import type { SqlSession } from '@thermomesh/sql';
import type { BestEffortApplied, BestEffortEntry } from '../core/best-effort.ts';
import { asciiArray, boolArray, float4Array, int8Array, timestamptzArray } from './pg-binary-arrays.ts';

const applyText = `SELECT stored, duplicate, rejected FROM apply_best_effort(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`;

/**
 * Stores readings at QoS 0 in one statement behind the fence.
 * @throws StaleEpochError, DataRefusedError, SqlUnavailableError
 */
export async function applyBestEffort(
  session: SqlSession,
  epoch: number,
  nodeId: number,
  entries: readonly BestEffortEntry[],
): Promise<BestEffortApplied> {
  const stored = entries.flatMap((entry) =>
    'reading' in entry.parsed ? [{ entry, reading: entry.parsed.reading }] : [],
  );
  const rejected = entries.flatMap((entry) =>
    'rejection' in entry.parsed ? [{ entry, rejection: entry.parsed.rejection }] : [],
  );
  const readings = stored.map(({ reading }) => reading);
  const [row] = await session.query<BestEffortApplied & Record<string, unknown>>(
    applyText,
    [
      epoch,
      nodeId,
      asciiArray(readings.map(({ deviceId }) => deviceId)),
      int8Array(readings.map(({ incarnation }) => incarnation)),
      int8Array(readings.map(({ seq }) => seq)),
      timestamptzArray(readings.map(({ measuredAtMs }) => measuredAtMs)),
      timestamptzArray(stored.map(({ entry }) => entry.receivedAtMs)),
      float4Array(readings.map(({ celsius }) => celsius)),
      float4Array(readings.map(({ setpointCelsius }) => setpointCelsius)),
      float4Array(readings.map(({ humidityPercent }) => humidityPercent)),
      boolArray(readings.map(({ heating }) => heating)),
      boolArray(stored.map(({ entry }) => entry.implausible)),
      stored.map(({ entry }) => entry.raw),
      rejected.map(({ entry }) => entry.deviceId),
      int8Array(rejected.map(({ rejection }) => rejection.seq)),
      timestamptzArray(rejected.map(({ entry }) => entry.receivedAtMs)),
      rejected.map(({ rejection }) => rejection.reason),
      rejected.map(({ rejection }) => rejection.detail),
      rejected.map(({ entry }) => entry.raw),
    ],
    'apply_best_effort',
  );
  if (row === undefined) throw new RangeError('apply_best_effort answered no row');
  return row;
}

/** Adds a report of the gateway to what is kept of its devices. @throws StaleEpochError */
export async function noteDevices(session: SqlSession, epoch: number, report: DevicesReport): Promise<void> {
  await session.query('SELECT note_devices($1, $2)', [epoch, JSON.stringify(report)]);
}
