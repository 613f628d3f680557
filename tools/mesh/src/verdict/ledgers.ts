/** Compares a ledger with what PostgreSQL stores. */
import {
  compare,
  type Comparison,
  type ErasedCountRow,
  type Finding,
  type Ledger,
  type RejectedRow,
  type RejectionCountRow,
  type StoredRow,
} from '@thermomesh/ledger';
import type { SqlPool } from '@thermomesh/sql';

const examplesMax = 5;

const storedSql = `
  SELECT device_id AS "deviceId", incarnation, seq,
    (extract(epoch FROM measured_at) * 1000)::float8 AS "measuredAtMs",
    (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs",
    (extract(epoch FROM committed_at) * 1000)::float8 AS "committedAtMs",
    celsius, setpoint_celsius AS "setpointCelsius", humidity_percent AS "humidityPercent", heating
  FROM readings WHERE`;
const rejectedSql = `
  SELECT device_id AS "deviceId", seq, reason, raw, encode(coalesce(raw_sha256, sha256(raw)), 'hex') AS sha256
  FROM rejected_readings WHERE`;
const countsSql = `
  SELECT device_id AS "deviceId", reason, rejected AS count FROM rejection_counts WHERE starts_with(device_id, $1)`;
const erasedSql = `
  SELECT device_id AS "deviceId", nullif(reason, '') AS reason, first_seq AS "firstSeq", last_seq AS "lastSeq", erased
  FROM erased_rows WHERE`;

/** All rows of the ledger's devices. */
const allRows = 'starts_with(device_id, $1)';
/** The rows that a part of a longer record can have, found by the primary key. */
const someRows = 'device_id = ANY($1) AND seq BETWEEN $2 AND $3';

/**
 * Compares one ledger by `(device_id, incarnation, seq)` and values. Rows are read through a
 * cursor.
 * @param live true if the writer may still add to the ledger
 */
export async function compareWithSql(ledger: Ledger, pool: SqlPool, live = false): Promise<Comparison> {
  const partial = ledger.header.partial === true;
  const { stored, rejected, ...more } = partial ? rowsOfPart(ledger, pool) : rowsOfAll(ledger, pool);
  return compare(ledger, stored, rejected, { examplesMax, ...more, partial: partial || live });
}

interface Rows {
  stored: AsyncIterable<StoredRow>;
  rejected: AsyncIterable<RejectedRow>;
  /** Empty for a part: the counts are those of the device's whole life. */
  rejectionCounts: AsyncIterable<RejectionCountRow> | [];
  erased: AsyncIterable<ErasedCountRow>;
}

function rowsOfAll({ header }: Ledger, pool: SqlPool): Rows {
  const prefix = [header.devicePrefix];
  return {
    stored: pool.stream<StoredRow & Record<string, unknown>>(`${storedSql} ${allRows}`, prefix),
    rejected: pool.stream<RejectedRow & Record<string, unknown>>(`${rejectedSql} ${allRows}`, prefix),
    rejectionCounts: pool.stream<RejectionCountRow & Record<string, unknown>>(countsSql, prefix),
    erased: pool.stream<ErasedCountRow & Record<string, unknown>>(`${erasedSql} ${allRows}`, prefix),
  };
}

function rowsOfPart({ header, entries }: Ledger, pool: SqlPool): Rows {
  const devices = new Set<string>();
  let [first, last] = [Infinity, -Infinity];
  for (let at = 0; at < entries.count; at++) {
    devices.add(`${header.devicePrefix}${entries.device[at]}`);
    first = Math.min(first, entries.number[at] ?? first);
    last = Math.max(last, entries.number[at] ?? last);
  }
  const range = devices.size === 0 ? [0, 0] : [first, last];
  const ids = [...devices];
  return {
    stored: pool.stream<StoredRow & Record<string, unknown>>(`${storedSql} ${someRows}`, [ids, ...range]),
    rejected: pool.stream<RejectedRow & Record<string, unknown>>(`${rejectedSql} device_id = ANY($1)`, [ids]),
    rejectionCounts: [],
    erased: pool.stream<ErasedCountRow & Record<string, unknown>>(`${erasedSql} device_id = ANY($1)`, [ids]),
  };
}

/** True if nothing acknowledged is lost, doubled or changed. At QoS 0 arrival is not promised. */
export function keepsPromise(
  { lost, duplicated, corrupted }: Pick<Comparison, 'lost' | 'duplicated' | 'corrupted'>,
  qos: 0 | 1,
): boolean {
  return (qos === 0 || lost === 0) && duplicated === 0 && corrupted === 0;
}

/** Describes a reading with a finding in one line. */
export function describeFinding({ kind, deviceId, number, detail }: Finding): string {
  return `${kind} ${deviceId ?? '?'}/${number ?? '?'}: ${detail}`;
}
