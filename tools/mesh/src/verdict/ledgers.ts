/** I1: what the fleet saw acknowledged against what PostgreSQL holds. */
import {
  compare,
  type Comparison,
  type Finding,
  type Ledger,
  type RejectedRow,
  type StoredRow,
} from '@thermomesh/ledger';
import type { SqlPool } from '@thermomesh/sql';

const examplesMax = 5;

const storedSql = `
  SELECT device_id AS "deviceId", seq,
    (extract(epoch FROM measured_at) * 1000)::float8 AS "measuredAtMs",
    (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs",
    (extract(epoch FROM committed_at) * 1000)::float8 AS "committedAtMs",
    celsius, setpoint_celsius AS "setpointCelsius", humidity_percent AS "humidityPercent", heating
  FROM readings WHERE starts_with(device_id, $1)`;
const rejectedSql = `
  SELECT device_id AS "deviceId", seq, reason, raw FROM rejected_readings WHERE starts_with(device_id, $1)`;

/** Compares one ledger by `(device_id, seq)` and values. Rows come through a cursor. */
export async function compareWithSql(ledger: Ledger, pool: SqlPool): Promise<Comparison> {
  const prefix = [ledger.header.devicePrefix];
  const stored = pool.stream<StoredRow & Record<string, unknown>>(storedSql, prefix);
  const rejected = pool.stream<RejectedRow & Record<string, unknown>>(rejectedSql, prefix);
  return compare(ledger, stored, rejected, { examplesMax });
}

/** True if nothing acknowledged is lost, doubled or changed. At QoS 0 nothing was promised to arrive. */
export function keepsPromise(
  { lost, duplicated, corrupted }: Pick<Comparison, 'lost' | 'duplicated' | 'corrupted'>,
  qos: 0 | 1,
): boolean {
  return (qos === 0 || lost === 0) && duplicated === 0 && corrupted === 0;
}

/** One line that names a reading. */
export function describeFinding({ kind, deviceId, number, detail }: Finding): string {
  return `${kind} ${deviceId ?? '?'}/${number ?? '?'}: ${detail}`;
}
