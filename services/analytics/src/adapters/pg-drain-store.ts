/** The drain's side of PostgreSQL: the coordinator's epoch, its lease, and the fenced batches (I1, I2, I6). */
import { uuidText } from '@thermomesh/contracts';
import { openSession, SqlStatementError, type SessionOptions, type SqlSession } from '@thermomesh/sql';
import { SeqConflictError } from '../core/apply.ts';
import type { Applied, Batch, Entry } from '../core/batch.ts';

/** SQLSTATE of apply_drain_batch for readings whose key is stored with other values. */
const seqConflictState = 'sql.TM002';

/** The answer to {@link DrainStore.takeOver}. */
export type TakeOver = { won: true; epoch: number } | { won: false; epoch: number; holder: number };

/** One database session of a node that is, or wants to be, coordinator. */
export interface DrainStore {
  /** Resolves when the session is gone. */
  readonly closed: Promise<void>;
  /** Tries for the next epoch. @throws SqlUnavailableError */
  takeOver(nodeId: number, leaseMs: number): Promise<TakeOver>;
  /** Continues `epoch` on this session. @throws StaleEpochError */
  attach(epoch: number): Promise<void>;
  /** Keeps the lease of an idle coordinator fresh. @throws StaleEpochError */
  renew(epoch: number): Promise<void>;
  /** Gives the lease back. */
  release(epoch: number): Promise<void>;
  /** One transaction with the fence inside. @throws StaleEpochError, SeqConflictError, DataRefusedError, SqlUnavailableError */
  apply(epoch: number, nodeId: number, batch: Batch): Promise<Applied>;
  close(): void;
}

/** Opens a session for the drain. @throws SqlUnavailableError */
export async function openDrainStore(options: SessionOptions): Promise<DrainStore> {
  const session = await openSession(options);
  return {
    closed: session.closed,
    takeOver: async (nodeId, leaseMs) => {
      const [row] = await session.query<TakeOver>('SELECT won, epoch, holder FROM take_over($1, $2)', [
        nodeId,
        leaseMs,
      ]);
      if (row === undefined) throw new RangeError('take_over answered no row');
      return row;
    },
    attach: async (epoch) => void (await session.query('SELECT attach_session($1)', [epoch])),
    renew: async (epoch) => void (await session.query('SELECT renew_lease($1)', [epoch])),
    release: async (epoch) => void (await session.query('SELECT release_lease($1)', [epoch])),
    apply: (epoch, nodeId, batch) => apply(session, epoch, nodeId, batch),
    close: () => session.close(),
  };
}

const applyText = `SELECT stored, duplicate, rejected, redelivered FROM apply_drain_batch(
  $1, $2, $3, $4, $5, $6::bigint[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::real[], $12::real[], $13::real[],
  $14::boolean[], $15::bigint[], $16::text[], $17::bigint[], $18::bigint[], $19::text[], $20::text[], $21::bytea[])`;

async function apply(
  session: SqlSession,
  epoch: number,
  nodeId: number,
  { log, entries }: Batch,
): Promise<Applied> {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('a batch has at least one entry');
  const values = [epoch, nodeId, uuidText(log), first.logId, last.logId, ...columns(entries)];
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
    throw error;
  }
}

/**
 * The array parameters $6–$21. Numbers are written as PostgreSQL's array text directly: the driver's general conversion costs
 * more than the whole statement.
 */
function columns(entries: readonly Entry[]): (string | (string | null)[] | Buffer[])[] {
  const r = {
    logId: '',
    device: [] as string[],
    seq: '',
    measured: '',
    received: '',
    celsius: '',
    setpoint: '',
    humidity: '',
    heating: '',
  };
  const x = {
    logId: '',
    device: [] as (string | null)[],
    seq: '',
    received: '',
    reason: [] as string[],
    detail: [] as string[],
    raw: [] as Buffer[],
  };
  for (const { logId, receivedAtMs, deviceId, raw, parsed } of entries) {
    if ('reading' in parsed) {
      const { reading } = parsed;
      r.logId += `,${logId}`;
      r.device.push(reading.deviceId);
      r.seq += `,${reading.seq}`;
      r.measured += `,${reading.measuredAtMs}`;
      r.received += `,${receivedAtMs}`;
      r.celsius += `,${Math.fround(reading.celsius)}`;
      r.setpoint += `,${real(reading.setpointCelsius)}`;
      r.humidity += `,${real(reading.humidityPercent)}`;
      r.heating += `,${reading.heating ?? 'NULL'}`;
    } else {
      x.logId += `,${logId}`;
      x.device.push(deviceId ?? null);
      x.seq += `,${parsed.rejection.seq ?? 'NULL'}`;
      x.received += `,${receivedAtMs}`;
      x.reason.push(parsed.rejection.reason);
      x.detail.push(parsed.rejection.detail);
      x.raw.push(raw);
    }
  }
  return [
    array(r.logId), r.device, array(r.seq), array(r.measured), array(r.received), array(r.celsius), array(r.setpoint),
    array(r.humidity), array(r.heating), array(x.logId), x.device, array(x.seq), array(x.received), x.reason, x.detail, x.raw,
  ]; // prettier-ignore
}

function array(items: string): string {
  return `{${items.slice(1)}}`;
}

function real(value: number | null): number | 'NULL' {
  return value === null ? 'NULL' : Math.fround(value);
}
