/**
 * The reads of the HTTP routes. Every list is paged by key, so that a page costs the same however
 * far back it is.
 */
import type { AccountsDocument, Qos0Account } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { TelemetryQueries } from '../core/ports.ts';
import {
  conflictHint,
  qos0Hint,
  type BucketRow,
  type DeviceRow,
  type ReadingRow,
  type RejectedRow,
  type RejectionCount,
} from '../core/telemetry.ts';

const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::bigint`;

const measuredColumns = `incarnation, seq, ${ms('measured_at')} AS "measuredAtMs", ${ms('received_at')} AS "receivedAtMs",
  celsius, setpoint_celsius AS "setpointCelsius", humidity_percent AS "humidityPercent", heating, implausible`;

/** A device is known by its latest state, or by a notice about it alone. */
const devicesSql = (ids: string) => `
  SELECT device_id AS "deviceId", ${measuredColumns},
    nullif(qos0_not_stored, 0) AS "qos0Count", ${ms('qos0_first_at')} AS "qos0FirstAtMs", ${ms('qos0_last_at')} AS "qos0LastAtMs",
    refusals, c.rejected AS "conflicts", ${ms('c.first_received_at')} AS "conflictsFirstAtMs",
    ${ms('c.last_received_at')} AS "conflictsLastAtMs",
    coalesce(c.last_received_at < (SELECT max(opened_at) FROM device_incarnations i WHERE i.device_id = ids.device_id), false) AS "reset"
  FROM (${ids}) ids LEFT JOIN devices USING (device_id) LEFT JOIN device_notices USING (device_id)
  LEFT JOIN (SELECT * FROM rejection_counts WHERE reason = 'seq_conflict') c USING (device_id)
  ORDER BY device_id`;

const idsOf = (condition: string, limit: string) => `
  (SELECT device_id FROM devices WHERE ${condition} ORDER BY device_id ${limit})
  UNION (SELECT device_id FROM device_notices WHERE ${condition} ORDER BY device_id ${limit})
  ORDER BY device_id ${limit}`;
const pageSql = devicesSql(idsOf('device_id > $1', 'LIMIT $2'));
const deviceSql = devicesSql(idsOf('device_id = $1', ''));

type FlatRow = Omit<DeviceRow, 'qos0' | 'conflicts' | 'refusals'> & {
  qos0Count: number | null;
  qos0FirstAtMs: number | null;
  qos0LastAtMs: number | null;
  conflicts: number | null;
  conflictsFirstAtMs: number | null;
  conflictsLastAtMs: number | null;
  reset: boolean;
  refusals: DeviceRow['refusals'] | null;
};

function deviceRow(flat: FlatRow): DeviceRow {
  const {
    qos0Count,
    qos0FirstAtMs,
    qos0LastAtMs,
    conflicts,
    conflictsFirstAtMs,
    conflictsLastAtMs,
    ...rest
  } = flat;
  const { reset, refusals, ...state } = rest;
  return {
    ...state,
    qos0:
      qos0Count === null
        ? null
        : { count: qos0Count, firstAtMs: qos0FirstAtMs ?? 0, lastAtMs: qos0LastAtMs ?? 0, hint: qos0Hint },
    conflicts:
      conflicts === null
        ? null
        : {
            count: conflicts,
            firstAtMs: conflictsFirstAtMs ?? 0,
            lastAtMs: conflictsLastAtMs ?? 0,
            hint: reset ? null : conflictHint(flat.deviceId),
          },
    refusals: refusals ?? [],
  };
}

/** An average has as many decimals as the values that were sent, and at least two. */
const statistics = (column: string, name: string) => `
  round(avg(${column}::numeric) FILTER (WHERE NOT implausible),
        greatest(2, max(scale(${column}::numeric)) FILTER (WHERE NOT implausible)))::float8 AS "${name}Avg",
  min(${column}) FILTER (WHERE NOT implausible) AS "${name}Min",
  max(${column}) FILTER (WHERE NOT implausible) AS "${name}Max"`;

const bucketsSql = (direction: 'ASC' | 'DESC') => `
  SELECT ${ms(`date_bin($4 * interval '1 second', measured_at, timestamptz 'epoch')`)} AS "startMs",
         count(*) FILTER (WHERE NOT implausible)::int AS count, count(*) FILTER (WHERE implausible)::int AS implausible,
         ${statistics('celsius', 'celsius')}, ${statistics('setpoint_celsius', 'setpointCelsius')},
         ${statistics('humidity_percent', 'humidityPercent')},
         round(avg(heating::int) FILTER (WHERE NOT implausible), 4)::float8 AS "heatingShare"
  FROM readings
  WHERE device_id = $1 AND measured_at >= from_unix_ms($2) AND measured_at < from_unix_ms($3)
  GROUP BY 1 ORDER BY 1 ${direction} LIMIT $5`;
const bucketsByOrder = { oldest: bucketsSql('ASC'), newest: bucketsSql('DESC') };

/** Rows beyond the place of $4 to $6, which lies before the first row if there is no cursor. */
const readingsSql = (beyond: '<' | '>', direction: 'ASC' | 'DESC') => `
  SELECT ${measuredColumns}, epoch FROM readings
  WHERE device_id = $1 AND measured_at >= from_unix_ms($2) AND measured_at < from_unix_ms($3)
    AND (measured_at, incarnation, seq) ${beyond} (from_unix_ms($4), $5, $6)
  ORDER BY measured_at ${direction}, incarnation ${direction}, seq ${direction} LIMIT $7`;
const readingsByOrder = { oldest: readingsSql('>', 'ASC'), newest: readingsSql('<', 'DESC') };

const rejectedSql = (beyond: '<' | '>', direction: 'ASC' | 'DESC') => `
  SELECT id, log_id AS "logId", device_id AS "deviceId", seq, ${ms('received_at')} AS "receivedAtMs", reason, detail,
         translate(encode(raw, 'base64'), E'\\n', '') AS "rawBase64", coalesce(raw_bytes, length(raw)) AS "rawBytes",
         encode(coalesce(raw_sha256, sha256(raw)), 'hex') AS "rawSha256"
  FROM rejected_readings WHERE id ${beyond} $1 AND ($2::text IS NULL OR device_id = $2)
    AND ($4::text IS NULL OR reason = $4) AND ($5::bigint IS NULL OR received_at >= from_unix_ms($5))
    AND ($6::bigint IS NULL OR received_at < from_unix_ms($6)) ORDER BY id ${direction} LIMIT $3`;
const rejectedByOrder = { oldest: rejectedSql('>', 'ASC'), newest: rejectedSql('<', 'DESC') };

/** Creates the reads on `pool`. */
export function createTelemetryQueries(pool: SqlPool): TelemetryQueries {
  return {
    accounts: () => readAccounts(pool),
    async coordinator() {
      const [row] = await pool.query<{ node: number; epoch: number }>(
        'SELECT node_id AS node, epoch FROM coordinator WHERE epoch > 0',
      );
      return row ?? null;
    },
    devices: async (limit, after) => (await pool.query<FlatRow>(pageSql, [after, limit])).map(deviceRow),
    async device(deviceId) {
      const [row] = await pool.query<FlatRow>(deviceSql, [deviceId]);
      return row && deviceRow(row);
    },
    readings: ({ deviceId, fromMs, toMs, limit, order, after }) =>
      pool.query<ReadingRow>(readingsByOrder[order], [
        ...[deviceId, fromMs, toMs, after?.measuredAtMs ?? (order === 'oldest' ? fromMs : toMs)],
        ...[after?.incarnation ?? -1, after?.seq ?? -1, limit],
      ]),
    buckets: ({ deviceId, fromMs, toMs, limit, order }, bucketSeconds) =>
      pool.query<BucketRow>(bucketsByOrder[order], [deviceId, fromMs, toMs, bucketSeconds, limit]),
    rejected: ({ limit, order, after }, { deviceId, reason, sinceMs, untilMs }) =>
      pool.query<RejectedRow>(rejectedByOrder[order], [
        ...[after ?? (order === 'oldest' ? 0 : Number.MAX_SAFE_INTEGER), deviceId ?? null, limit],
        ...[reason ?? null, sinceMs ?? null, untilMs ?? null],
      ]),
    rejectionCounts: (limit, after, deviceId) =>
      pool.query<RejectionCount>(
        `SELECT nullif(device_id, '') AS "deviceId", reason, rejected AS count,
                ${ms('first_received_at')} AS "firstReceivedAtMs", ${ms('last_received_at')} AS "lastReceivedAtMs", replayed, deleted
         FROM rejection_counts WHERE (device_id, reason) > ($1, $2) AND ($3::text IS NULL OR device_id = $3)
         ORDER BY device_id, reason LIMIT $4`,
        [after.deviceId, after.reason, deviceId ?? null, limit],
      ),
  };
}

/** The terms of I6, of each gateway store and in all. */
async function readAccounts(pool: SqlPool): Promise<AccountsDocument> {
  const logs = await pool.query<AccountsDocument['logs'][number]>(
    `SELECT log::text AS log, high_water_mark AS "highWaterMark", stored, duplicate, rejected,
            (SELECT coalesce(sum(messages), 0)::bigint FROM drain_gaps g WHERE g.log = l.log) AS "acceptedGap"
     FROM drain_logs l ORDER BY log`,
  );
  const sum = (field: 'stored' | 'duplicate' | 'rejected' | 'acceptedGap') =>
    logs.reduce((total, row) => total + (row[field] ?? 0), 0);
  const [qos0] = await pool.query<Qos0Account>(
    'SELECT relayed, stored, duplicate, rejected, dropped FROM qos0_accounts',
  );
  const [gone] = await pool.query<{ erased: number }>(
    `SELECT coalesce(sum(erased), 0)::bigint AS erased FROM erased_rows WHERE incarnation >= 0`,
  );
  return {
    logs,
    ...(qos0 !== undefined && { qos0 }),
    erased: gone?.erased ?? 0,
    stored: sum('stored'),
    duplicate: sum('duplicate'),
    rejected: sum('rejected'),
    acceptedGap: sum('acceptedGap'),
  };
}
