/**
 * The reads of the HTTP routes. Every list is paged by key, so that a page costs the same however
 * far back it is.
 */
import type { AccountsDocument } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { TelemetryQueries } from '../core/ports.ts';
import type { BucketRow, DeviceRow, ReadingRow, RejectedRow, RejectionCount } from '../core/telemetry.ts';

const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::bigint`;

const deviceColumns = `device_id AS "deviceId", incarnation, seq, ${ms('measured_at')} AS "measuredAtMs", ${ms('received_at')} AS "receivedAtMs",
  celsius, setpoint_celsius AS "setpointCelsius", humidity_percent AS "humidityPercent", heating, implausible`;

const bucketsSql = `
  SELECT ${ms(`date_bin($4 * interval '1 second', measured_at, timestamptz 'epoch')`)} AS "startMs",
         count(*) FILTER (WHERE NOT implausible)::int AS count, count(*) FILTER (WHERE implausible)::int AS implausible,
         avg(celsius) FILTER (WHERE NOT implausible)::float8 AS "celsiusAvg",
         min(celsius) FILTER (WHERE NOT implausible) AS "celsiusMin",
         max(celsius) FILTER (WHERE NOT implausible) AS "celsiusMax"
  FROM readings
  WHERE device_id = $1 AND measured_at >= from_unix_ms($2) AND measured_at < from_unix_ms($3)
  GROUP BY 1 ORDER BY 1 LIMIT $5`;

/** Creates the reads on `pool`. */
export function createTelemetryQueries(pool: SqlPool): TelemetryQueries {
  return {
    async accounts() {
      const logs = await pool.query<AccountsDocument['logs'][number]>(
        `SELECT log::text AS log, high_water_mark AS "highWaterMark", stored, duplicate, rejected,
                (SELECT coalesce(sum(messages), 0)::bigint FROM drain_gaps g WHERE g.log = l.log) AS "acceptedGap"
         FROM drain_logs l ORDER BY log`,
      );
      const sum = (field: 'stored' | 'duplicate' | 'rejected' | 'acceptedGap') =>
        logs.reduce((total, row) => total + (row[field] ?? 0), 0);
      return {
        logs,
        stored: sum('stored'),
        duplicate: sum('duplicate'),
        rejected: sum('rejected'),
        acceptedGap: sum('acceptedGap'),
      };
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
           AND (measured_at, incarnation, seq) > (from_unix_ms($4), $5, $6)
         ORDER BY measured_at, incarnation, seq LIMIT $7`,
        [
          ...[deviceId, fromMs, toMs, after?.measuredAtMs ?? fromMs],
          ...[after?.incarnation ?? -1, after?.seq ?? -1, limit],
        ],
      ),
    buckets: ({ deviceId, fromMs, toMs, limit }, bucketSeconds) =>
      pool.query<BucketRow>(bucketsSql, [deviceId, fromMs, toMs, bucketSeconds, limit]),
    rejected: (limit, before, deviceId) =>
      pool.query<RejectedRow>(
        `SELECT id, log_id AS "logId", device_id AS "deviceId", seq, ${ms('received_at')} AS "receivedAtMs", reason, detail,
                encode(raw, 'base64') AS "rawBase64", coalesce(raw_bytes, length(raw)) AS "rawBytes",
                encode(coalesce(raw_sha256, sha256(raw)), 'hex') AS "rawSha256"
         FROM rejected_readings WHERE id < $1 AND ($2::text IS NULL OR device_id = $2) ORDER BY id DESC LIMIT $3`,
        [before, deviceId ?? null, limit],
      ),
    rejectionCounts: (limit, after, deviceId) =>
      pool.query<RejectionCount>(
        `SELECT nullif(device_id, '') AS "deviceId", reason, rejected AS count,
                ${ms('first_received_at')} AS "firstReceivedAtMs", ${ms('last_received_at')} AS "lastReceivedAtMs"
         FROM rejection_counts WHERE (device_id, reason) > ($1, $2) AND ($3::text IS NULL OR device_id = $3)
         ORDER BY device_id, reason LIMIT $4`,
        [after.deviceId, after.reason, deviceId ?? null, limit],
      ),
  };
}
