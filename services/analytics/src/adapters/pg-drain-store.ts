/** The drain's side of PostgreSQL: the coordinator's epoch, its lease, and the fenced batches (I1, I2, I6). */
import { uuidText, type Reading, type Rejection } from '@thermomesh/contracts';
import { openSession, SqlStatementError, type SessionOptions, type SqlSession } from '@thermomesh/sql';
import { DrainGapError, SeqConflictError } from '../core/apply.ts';
import type { Applied, Batch, Entry } from '../core/batch.ts';
import { asciiArray, boolArray, float4Array, int8Array, timestamptzArray } from './pg-binary-arrays.ts';

/** SQLSTATE of apply_drain_batch for readings whose key is stored with other values. */
const seqConflictState = 'sql.TM002';
/** SQLSTATE of apply_drain_batch for a batch that does not follow on the high-water mark. */
const gapState = 'sql.TM003';

/** The answer to {@link DrainStore.takeOver}. */
export type TakeOver = { won: true; epoch: number } | { won: false; epoch: number; holder: number };

/** How long the records of batches are kept. */
export interface BatchRetention {
  keptHours: number;
  /** Removed in one statement at most: the drain waits that long. */
  rowsMax: number;
}

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
  /**
   * Removes some of the batches' records that are older than the retention: the first and the last of each epoch stay, which is what
   * the evidence for I2 needs. @returns how many. @throws StaleEpochError
   */
  prune(epoch: number, retention: BatchRetention): Promise<number>;
  /**
   * One transaction with the fence inside.
   * @param acceptGap take the batch although messages before it are missing: they are gone for good
   * @throws StaleEpochError, SeqConflictError, DrainGapError, DataRefusedError, SqlUnavailableError
   */
  apply(epoch: number, nodeId: number, batch: Batch, acceptGap?: boolean): Promise<Applied>;
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
    prune: async (epoch, { keptHours, rowsMax }) => {
      const sql = 'SELECT prune_drain_batches($1, $2, $3) AS removed';
      const [row] = await session.query<{ removed: number }>(sql, [epoch, keptHours, rowsMax]);
      return row?.removed ?? 0;
    },
    apply: (epoch, nodeId, batch, acceptGap = false) => apply(session, epoch, nodeId, batch, acceptGap),
    close: () => session.close(),
  };
}

const applyText = `SELECT stored, duplicate, rejected, redelivered FROM apply_drain_batch(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`;

async function apply(
  session: SqlSession,
  epoch: number,
  nodeId: number,
  { log, entries }: Batch,
  acceptGap: boolean,
): Promise<Applied> {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('a batch has at least one entry');
  const { logId, previousLogId } = first;
  const range = [logId, last.logId, previousLogId, acceptGap];
  const values = [epoch, nodeId, uuidText(log), ...range, ...columns(entries)];
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

/** The array parameters $8–$24. */
function columns(entries: readonly Entry[]): (Buffer | (string | null)[] | Buffer[])[] {
  const stored: { logId: number; receivedAtMs: number; reading: Reading }[] = [];
  const rejected: { entry: Entry; rejection: Rejection }[] = [];
  for (const entry of entries) {
    const { logId, receivedAtMs, parsed } = entry;
    if ('reading' in parsed) stored.push({ logId, receivedAtMs, reading: parsed.reading });
    else rejected.push({ entry, rejection: parsed.rejection });
  }
  const readings = stored.map(({ reading }) => reading);
  return [
    int8Array(stored.map(({ logId }) => logId)),
    asciiArray(readings.map(({ deviceId }) => deviceId)),
    int8Array(readings.map(({ seq }) => seq)),
    timestamptzArray(readings.map(({ measuredAtMs }) => measuredAtMs)),
    timestamptzArray(stored.map(({ receivedAtMs }) => receivedAtMs)),
    float4Array(readings.map(({ celsius }) => celsius)),
    float4Array(readings.map(({ setpointCelsius }) => setpointCelsius)),
    float4Array(readings.map(({ humidityPercent }) => humidityPercent)),
    boolArray(readings.map(({ heating }) => heating)),
    boolArray(newestOf(readings)),
    int8Array(rejected.map(({ entry }) => entry.logId)),
    rejected.map(({ entry }) => entry.deviceId ?? null),
    int8Array(rejected.map(({ rejection }) => rejection.seq)),
    timestamptzArray(rejected.map(({ entry }) => entry.receivedAtMs)),
    rejected.map(({ rejection }) => rejection.reason),
    rejected.map(({ rejection }) => rejection.detail),
    rejected.map(({ entry }) => entry.raw),
  ];
}

/** True for the reading with the highest seq of its device, once a device. */
function newestOf(readings: readonly Reading[]): boolean[] {
  const newest = new Map<string, number>();
  readings.forEach(({ deviceId, seq }, index) => {
    const known = newest.get(deviceId);
    if (known === undefined || seq > readings[known]!.seq) newest.set(deviceId, index);
  });
  const marks = readings.map(() => false);
  for (const index of newest.values()) marks[index] = true;
  return marks;
}
