/**
 * The drain's side of PostgreSQL: the coordinator's epoch, its lease, and the fenced batches (I1,
 * I2, I6).
 */
import { uuidText, type Reading, type Rejection } from '@thermomesh/contracts';
import { openSession, SqlStatementError, type SessionOptions, type SqlSession } from '@thermomesh/sql';
import { DrainGapError, SeqConflictError } from '../core/apply.ts';
import type { Applied, Batch, Entry } from '../core/batch.ts';
import { candidatesOf, seqLeapMaxDefault } from '../core/latest-state.ts';
import type { DrainStore, RejectionLimits, TakeOver } from '../core/ports.ts';
import { applyBestEffort, noteDevices } from './pg-best-effort.ts';
import { acceptGap, readPosition } from './pg-drain-position.ts';
import { replay } from './pg-replay.ts';
import { asciiArray, boolArray, float4Array, int8Array, timestamptzArray } from './pg-binary-arrays.ts';

/** SQLSTATE that apply_drain_batch raises for readings whose key is stored with other values. */
const seqConflictState = 'sql.TM002';
/** SQLSTATE that apply_drain_batch raises if messages are missing before the batch (a gap). */
const gapState = 'sql.TM003';

export interface DrainStoreOptions extends SessionOptions {
  /** Default: those of the schema. */
  rejections?: RejectionLimits;
  /** How far `seq` may be above that of the reading stored last; see core/latest-state.ts. */
  seqLeapMax?: number;
  /** Called after a batch was stored, with the number of its implausible readings if any. */
  onImplausible?: (readings: number) => void;
}

/** Opens a session for the drain. @throws SqlUnavailableError */
export async function openDrainStore(options: DrainStoreOptions): Promise<DrainStore> {
  const { seqLeapMax = seqLeapMaxDefault } = options;
  const session = await openSession({ ...options, durable: true });
  try {
    await giveSettings(session, settingsOf(options));
  } catch (error) {
    session.close();
    throw error;
  }
  return {
    closed: session.closed,
    takeOver: async (nodeId, leaseMs, above = 0) => {
      const sql = 'SELECT won, epoch, holder FROM take_over_above($1, $2, $3)';
      const [row] = await session.query<TakeOver>(sql, [nodeId, leaseMs, above]);
      if (row === undefined) throw new RangeError('take_over_above answered no row');
      return row;
    },
    attach: async (epoch) => void (await session.query('SELECT attach_session($1)', [epoch])),
    renew: async (epoch) => void (await session.query('SELECT renew_lease($1)', [epoch])),
    release: async (epoch) => void (await session.query('SELECT release_lease($1)', [epoch])),
    prune: async (epoch, { keptHours, rowsMax }) => {
      const sql = 'SELECT prune_drain_batches($1, $2, $3) AS removed';
      const [row] = await session.query<{ removed: number }>(sql, [epoch, keptHours, rowsMax]);
      return row?.removed ?? 0;
    },
    apply: async (epoch, nodeId, batch, acceptGap = false) => {
      const applied = await apply(session, { epoch, nodeId, batch, acceptGap, seqLeapMax });
      const implausible = batch.entries.filter((entry) => entry.implausible).length;
      if (implausible > 0) options.onImplausible?.(implausible);
      return applied;
    },
    applyBestEffort: (epoch, nodeId, entries) => applyBestEffort(session, epoch, nodeId, entries),
    noteDevices: (epoch, report) => noteDevices(session, epoch, report),
    position: (log) => readPosition(session, log),
    acceptGap: (epoch, nodeId, gap, keptIn) => acceptGap(session, epoch, nodeId, { ...gap, keptIn }),
    replay: (epoch, nodeId, id, entry) => replay(session, { epoch, nodeId, id, entry }),
    close: () => session.close(),
  };
}

/** The settings that the functions of the schema read. */
function settingsOf({ rejections, seqLeapMax }: DrainStoreOptions): Record<string, number | undefined> {
  return {
    rejected_raw_bytes_max: rejections?.rawBytesMax,
    rejected_rows_per_kind_max: rejections?.rowsPerKindMax,
    rejected_bytes_per_kind_max: rejections?.bytesPerKindMax,
    seq_leap_max: seqLeapMax,
  };
}

/** Gives the session those settings that have a value. */
async function giveSettings(
  session: SqlSession,
  settings: Record<string, number | undefined>,
): Promise<void> {
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  await session.query(
    `SELECT set_config('thermomesh.' || name, value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)`,
    [given.map(([name]) => name), given.map(([, value]) => String(value))],
  );
}

const applyText = `SELECT stored, duplicate, rejected, redelivered FROM apply_drain_batch(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)`;

interface Application {
  epoch: number;
  nodeId: number;
  batch: Batch;
  acceptGap: boolean;
  seqLeapMax: number;
}

async function apply(
  session: SqlSession,
  { epoch, nodeId, batch: { log, entries }, acceptGap, seqLeapMax }: Application,
): Promise<Applied> {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('a batch has at least one entry');
  const { logId, previousLogId } = first;
  const range = [logId, last.logId, previousLogId, acceptGap];
  const values = [epoch, nodeId, uuidText(log), ...range, ...columns(entries, seqLeapMax)];
  try {
    const [row] = await session.query<Applied & Record<string, unknown>>(
      applyText,
      values,
      'apply_drain_batch',
    );
    if (row === undefined) throw new RangeError('apply_drain_batch answered no row');
    return row;
  } catch (error) {
    if (error instanceof SqlStatementError && error.code === seqConflictState) {
      throw new SeqConflictError(JSON.parse(error.detail ?? '[]') as number[]);
    }
    if (error instanceof SqlStatementError && error.code === gapState) throw new DrainGapError(error.message);
    throw error;
  }
}

/** Returns the parameters $8–$27. */
function columns(
  entries: readonly Entry[],
  seqLeapMax: number,
): (number | Buffer | (string | null)[] | Buffer[])[] {
  const stored: { logId: number; receivedAtMs: number; reading: Reading; implausible: boolean }[] = [];
  const rejected: { entry: Entry; rejection: Rejection }[] = [];
  for (const entry of entries) {
    const { logId, receivedAtMs, parsed, implausible } = entry;
    if ('reading' in parsed) stored.push({ logId, receivedAtMs, reading: parsed.reading, implausible });
    else rejected.push({ entry, rejection: parsed.rejection });
  }
  const readings = stored.map(({ reading }) => reading);
  const { latest, devices } = candidatesOf(readings, seqLeapMax);
  return [
    devices,
    int8Array(stored.map(({ logId }) => logId)),
    asciiArray(readings.map(({ deviceId }) => deviceId)),
    int8Array(readings.map(({ incarnation }) => incarnation)),
    int8Array(readings.map(({ seq }) => seq)),
    timestamptzArray(readings.map(({ measuredAtMs }) => measuredAtMs)),
    timestamptzArray(stored.map(({ receivedAtMs }) => receivedAtMs)),
    float4Array(readings.map(({ celsius }) => celsius)),
    float4Array(readings.map(({ setpointCelsius }) => setpointCelsius)),
    float4Array(readings.map(({ humidityPercent }) => humidityPercent)),
    boolArray(readings.map(({ heating }) => heating)),
    boolArray(stored.map(({ implausible }) => implausible)),
    boolArray(latest),
    int8Array(rejected.map(({ entry }) => entry.logId)),
    rejected.map(({ entry }) => entry.deviceId ?? null),
    int8Array(rejected.map(({ rejection }) => rejection.seq)),
    timestamptzArray(rejected.map(({ entry }) => entry.receivedAtMs)),
    rejected.map(({ rejection }) => rejection.reason),
    rejected.map(({ rejection }) => rejection.detail),
    rejected.map(({ entry }) => entry.raw),
  ];
}
