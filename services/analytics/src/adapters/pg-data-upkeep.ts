/** What operators do with stored data by hand; the functions of the schema keep the accounts. */
import type { ErasedRow } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { DataUpkeep } from '../core/ports.ts';
import type { RejectedMessage } from '../core/replay.ts';

export interface UpkeepLimits {
  /** Maximum number of rows that one statement removes. The drain may wait for it. */
  rowsMax: number;
  /** An erasure begins no further statement after this time. */
  eraseMs: number;
}

/** One statement stays in tens of milliseconds, one request within a second. */
const defaultLimits: UpkeepLimits = { rowsMax: 2_000, eraseMs: 700 };

/** Creates the port on `pool`. */
export function createDataUpkeep(pool: SqlPool, limits: UpkeepLimits = defaultLimits): DataUpkeep {
  const { rowsMax, eraseMs } = limits;
  return {
    async rejectedMessage(id) {
      const [row] = await pool.query<RejectedMessage & Record<string, unknown>>(
        `SELECT id, device_id AS "deviceId", (extract(epoch FROM received_at) * 1000)::bigint AS "receivedAtMs", raw,
                coalesce(raw_bytes, length(raw)) = length(raw) AS "isWhole"
         FROM rejected_readings WHERE id = $1`,
        [id],
      );
      return row;
    },
    async deleteRejected({ id, deviceId, reason, sinceMs, untilMs }) {
      const [row] = await pool.query<{ deleted: number }>(
        'SELECT delete_rejected($1, $2, $3, from_unix_ms($4), from_unix_ms($5), $6) AS deleted',
        [id ?? null, deviceId ?? null, reason ?? null, sinceMs ?? null, untilMs ?? null, rowsMax],
      );
      const deleted = row?.deleted ?? 0;
      return { deleted, complete: deleted < rowsMax };
    },
    async eraseDevice(deviceId) {
      const deadline = performance.now() + eraseMs;
      let readings = 0;
      for (;;) {
        const [step] = await pool.query<{ erased: number }>('SELECT erase_readings($1, $2) AS erased', [
          deviceId,
          rowsMax,
        ]);
        readings += step?.erased ?? 0;
        if ((step?.erased ?? 0) < rowsMax) break;
        if (performance.now() > deadline) return { deviceId, readings, rejections: 0, complete: false };
      }
      const [last] = await pool.query<{ readings: number; rejections: number; complete: boolean }>(
        'SELECT readings, rejections, complete FROM finish_erasure($1, $2)',
        [deviceId, rowsMax],
      );
      if (last === undefined) throw new RangeError('finish_erasure answered no row');
      return { deviceId, ...last, readings: readings + last.readings };
    },
    erasedOf: (deviceId) =>
      pool.query<ErasedRow>(
        `SELECT nullif(incarnation, -1) AS incarnation, nullif(reason, '') AS reason, erased,
                (extract(epoch FROM last_erased_at) * 1000)::bigint AS "lastErasedAtMs"
         FROM erased_rows WHERE device_id = $1 ORDER BY incarnation, reason`,
        [deviceId],
      ),
  };
}
