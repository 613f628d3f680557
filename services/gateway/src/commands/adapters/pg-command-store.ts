/**
 * Stores commands in PostgreSQL, whose clock decides about deadlines (I9). Each method is one
 * statement.
 */
import type { CommandStatus } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { Command, DueCommand } from '../core/command.ts';
import type { CommandStore } from '../core/ports.ts';

const ms = (column: string, name: string) => `(extract(epoch FROM ${column}) * 1000)::bigint AS "${name}"`;

const order = 'kind, setpoint_celsius AS "setpointCelsius", mode';
const isOverdue = 'final_at IS NULL AND deadline_at <= clock_timestamp()';
/** The status that holds now, also if no sweep has written it yet. */
const status = `CASE WHEN ${isOverdue} THEN 'expired' ELSE status END`;
const columns = `id, command_id AS "commandId", device_id AS "deviceId", ${order},
  ${status} AS status, deliveries, outcome, detail,
  ${ms('created_at', 'createdAtMs')}, ${ms('deadline_at', 'deadlineMs')},
  ${ms('first_sent_at', 'firstSentAtMs')}, ${ms('last_sent_at', 'lastSentAtMs')},
  ${ms(`CASE WHEN ${isOverdue} THEN deadline_at ELSE final_at END`, 'finalAtMs')},
  ${ms('acknowledged_at', 'acknowledgedAtMs')}`;

type Row<T> = T & Record<string, unknown>;
type Count = Record<'count', number>;

/** The store on a pool that the caller closes. */
export function createCommandStore(pool: SqlPool): CommandStore {
  return { ...acceptance(pool), ...changes(pool), ...reads(pool), ...upkeep(pool) };
}

function acceptance(pool: SqlPool): Pick<CommandStore, 'accept'> {
  return {
    async accept(command, { expiresMinMs, expiresMaxMs, openMax }) {
      const { expiry } = command;
      const [row] = await pool.query<Row<Record<'type' | 'commandId', string>>>(
        `SELECT outcome AS type, found_id AS "commandId", found_device AS "deviceId",
                found_request AS request, ${ms('found_deadline', 'deadlineMs')}
           FROM accept_device_command($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9::float8 / 1000), $10, $11, $12, $13)`,
        [
          command.commandId,
          command.deviceId,
          command.caller,
          command.callerKey,
          command.request,
          command.kind,
          command.setpointCelsius,
          command.mode,
          'deadlineMs' in expiry ? expiry.deadlineMs : null,
          'afterMs' in expiry ? expiry.afterMs : null,
          expiresMinMs,
          expiresMaxMs,
          openMax,
        ],
      );
      if (row === undefined) throw new TypeError('accept_device_command returned no row');
      return row as unknown as Awaited<ReturnType<CommandStore['accept']>>;
    },
  };
}

function changes(pool: SqlPool): Pick<CommandStore, 'claim' | 'acknowledge' | 'cancel'> {
  return {
    async claim(deviceIds, marginMs) {
      const rows = await pool.query<Row<DueCommand & { id: number }>>(
        `SELECT id, command_id AS "commandId", device_id AS "deviceId", ${order}, deliveries,
                ${ms('deadline_at', 'deadlineMs')},
                floor(extract(epoch FROM deadline_at - clock_timestamp()) * 1000)::bigint AS "remainingMs"
           FROM claim_device_commands($1, $2)`,
        [deviceIds, marginMs],
      );
      return rows.sort((a, b) => a.id - b.id);
    },
    async acknowledge({ commandId, deviceId, outcome, detail }) {
      const [row] = await pool.query<Row<{ status: CommandStatus | null }>>(
        'SELECT acknowledge_device_command($1, $2, $3, $4) AS status',
        [commandId, deviceId, outcome, detail],
      );
      return row?.status ?? undefined;
    },
    async cancel(deviceId, commandId) {
      const [row] = await pool.query<Row<Command>>(
        `UPDATE device_commands SET status = 'cancelled', final_at = clock_timestamp()
          WHERE device_id = $1 AND command_id = $2 AND final_at IS NULL AND deadline_at > clock_timestamp()
         RETURNING ${columns}`,
        [deviceId, commandId],
      );
      return row;
    },
  };
}

function reads(pool: SqlPool): Pick<CommandStore, 'find' | 'list' | 'byIds' | 'devicesWithNew' | 'open'> {
  return {
    async find(deviceId, commandId) {
      const [row] = await pool.query<Row<Command>>(
        `SELECT ${columns} FROM device_commands WHERE device_id = $1 AND command_id = $2`,
        [deviceId, commandId],
      );
      return row;
    },
    list: (filter) =>
      pool.query<Row<Command>>(
        `SELECT ${columns} FROM device_commands
          WHERE device_id = $1 AND ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR ${status} = $3)
          ORDER BY id DESC LIMIT $4`,
        [filter.deviceId, filter.beforeId ?? null, filter.status ?? null, filter.limit],
      ),
    byIds: (commandIds) =>
      pool.query<Row<Command>>(`SELECT ${columns} FROM device_commands WHERE command_id = ANY($1::uuid[])`, [
        commandIds,
      ]),
    async devicesWithNew(ageMs) {
      const rows = await pool.query<{ deviceId: string }>(
        `SELECT DISTINCT device_id AS "deviceId" FROM device_commands
          WHERE final_at IS NULL AND created_at > clock_timestamp() - $1 * interval '1 ms'`,
        [ageMs],
      );
      return rows.map(({ deviceId }) => deviceId);
    },
    async open() {
      const [row] = await pool.query<{ count: number; oldestAgeMs: number }>(
        `SELECT count(*)::bigint AS count,
                coalesce(extract(epoch FROM clock_timestamp() - min(created_at)) * 1000, 0)::bigint AS "oldestAgeMs"
           FROM device_commands WHERE final_at IS NULL AND deadline_at > clock_timestamp()`,
      );
      return row ?? { count: 0, oldestAgeMs: 0 };
    },
  };
}

function upkeep(pool: SqlPool): Pick<CommandStore, 'expire' | 'forget'> {
  return {
    async expire(rowsMax) {
      const [row] = await pool.query<Count>(
        `WITH late AS (
           UPDATE device_commands SET status = 'expired', final_at = deadline_at
            WHERE command_id IN (SELECT command_id FROM device_commands WHERE ${isOverdue}
                                  LIMIT $1 FOR UPDATE SKIP LOCKED)
           RETURNING 1)
         SELECT count(*)::bigint AS count FROM late`,
        [rowsMax],
      );
      return row?.count ?? 0;
    },
    async forget(ageMs, rowsMax) {
      const [row] = await pool.query<Count>(
        `WITH old AS (
           DELETE FROM device_commands
            WHERE command_id IN (SELECT command_id FROM device_commands
                                  WHERE final_at < clock_timestamp() - $1 * interval '1 ms'
                                  LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING 1)
         SELECT count(*)::bigint AS count FROM old`,
        [ageMs, rowsMax],
      );
      return row?.count ?? 0;
    },
  };
}
