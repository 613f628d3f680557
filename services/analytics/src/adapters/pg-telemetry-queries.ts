/** What the HTTP routes read. Every list is paged by key, so that a page costs the same however far back it is. */
import type { AccountsDocument } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { BucketRow, DeviceRow, ReadingRow, RejectedRow } from '../http/schemas.ts';

export interface ReadingsQuery {
  deviceId: string;
  /** Unix ms, inclusive; and exclusive. */
  fromMs: number;
  toMs: number;
  limit: number;
  /** The last row of the page before. */
  after: { measuredAtMs: number; seq: number } | undefined;
}

export interface TelemetryQueries {
  accounts(): Promise<AccountsDocument>;
  coordinator(): Promise<{ node: number; epoch: number } | null>;
  devices(limit: number, after: string): Promise<DeviceRow[]>;
  device(deviceId: string): Promise<DeviceRow | undefined>;
  readings(query: ReadingsQuery): Promise<ReadingRow[]>;
  /** Averages over buckets of `bucketSeconds`, of the whole interval. */
  buckets(query: Omit<ReadingsQuery, 'after'>, bucketSeconds: number): Promise<BucketRow[]>;
  /** Newest first; `before` is the last id of the page before. */
  rejected(limit: number, before: number, deviceId: string | undefined): Promise<RejectedRow[]>;
}

const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::bigint`;

const deviceColumns = `device_id AS "deviceId", seq, ${ms('measured_at')} AS "measuredAtMs", ${ms('received_at')} AS "receivedAtMs",
  celsius, setpoint_celsius AS "setpointCelsius", humidity_percent AS "humidityPercent", heating`;

export function createTelemetryQueries(pool: SqlPool): TelemetryQueries {
  return {
    async accounts() {
      const logs = await pool.query<AccountsDocument['logs'][number]>(
        `SELECT log::text AS log, high_water_mark AS "highWaterMark", stored, duplicate, rejected FROM drain_logs ORDER BY log`,
      );
      const sum = (field: 'stored' | 'duplicate' | 'rejected') =>
        logs.reduce((total, row) => total + row[field], 0);
      return { logs, stored: sum('stored'), duplicate: sum('duplicate'), rejected: sum('rejected') };
    },
    async coordinator() {
      const [row] = await pool.query<{ node: number; epoch: number }>(
        'SELECT node_id AS node, epoch FROM coordinator WHERE epoch > 0',
      );
      return row ?? null;
    },
    devices: (limit, after) =>
      pool.query<DeviceRow>(
        `SELECT ${deviceColumns} FROM devices WHERE device_id > $1 ORDER BY device_id LIMIT $2`,
        [after, limit],
      ),
    async device(deviceId) {
      const [row] = await pool.query<DeviceRow>(`SELECT ${deviceColumns} FROM devices WHERE device_id = $1`, [
        deviceId,
      ]);
      return row;
    },
    readings: ({ deviceId, fromMs, toMs, limit, after }) =>
      pool.query<ReadingRow>(
        `SELECT ${deviceColumns.replace('device_id AS "deviceId",', '')}, epoch FROM readings
         WHERE device_id = $1 AND measured_at >= from_unix_ms($2) AND measured_at < from_unix_ms($3)
           AND (measured_at, seq) > (from_unix_ms($4), $5)
         ORDER BY measured_at, seq LIMIT $6`,
        [deviceId, fromMs, toMs, after?.measuredAtMs ?? fromMs, after?.seq ?? -1, limit],
      ),
    buckets: ({ deviceId, fromMs, toMs, limit }, bucketSeconds) =>
      pool.query<BucketRow>(
        `SELECT ${ms(`date_bin($4 * interval '1 second', measured_at, timestamptz 'epoch')`)} AS "startMs", count(*)::int AS count,
                avg(celsius)::float8 AS "celsiusAvg", min(celsius) AS "celsiusMin", max(celsius) AS "celsiusMax"
         FROM readings
         WHERE device_id = $1 AND measured_at >= from_unix_ms($2) AND measured_at < from_unix_ms($3)
         GROUP BY 1 ORDER BY 1 LIMIT $5`,
        [deviceId, fromMs, toMs, bucketSeconds, limit],
      ),
    rejected: (limit, before, deviceId) =>
      pool.query<RejectedRow>(
        `SELECT id, log_id AS "logId", device_id AS "deviceId", seq, ${ms('received_at')} AS "receivedAtMs", reason, detail,
                encode(raw, 'base64') AS "rawBase64"
         FROM rejected_readings WHERE id < $1 AND ($2::text IS NULL OR device_id = $2) ORDER BY id DESC LIMIT $3`,
        [before, deviceId ?? null, limit],
      ),
  };
}
