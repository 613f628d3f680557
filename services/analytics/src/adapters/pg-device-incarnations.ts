/** The table of the incarnations that operators open for devices. */
import type { DeviceIncarnationDocument } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { DeviceIncarnations, Opening } from '../core/ports.ts';

const openedAtMs = '(extract(epoch FROM opened_at) * 1000)::bigint AS "openedAtMs"';

/** Creates the port on `pool`. */
export function createDeviceIncarnations(pool: SqlPool): DeviceIncarnations {
  return {
    async open(deviceId, incarnation, key) {
      const [row] = await pool.query<Opening & Record<string, unknown>>(
        `SELECT outcome, incarnation, ${openedAtMs} FROM open_incarnation($1, $2, $3)`,
        [deviceId, incarnation ?? null, key ?? null],
      );
      if (row === undefined) throw new RangeError('open_incarnation answered no row');
      return row;
    },
    list: (deviceId, limit, after) =>
      pool.query<DeviceIncarnationDocument>(
        `SELECT device_id AS "deviceId", incarnation, ${openedAtMs} FROM device_incarnations
         WHERE device_id = $1 AND incarnation > $2 ORDER BY incarnation LIMIT $3`,
        [deviceId, after, limit],
      ),
  };
}
