/**
 * Stores as much of a batch as possible: conflicting and refused rows become rejections, the others
 * are stored.
 */
import { DataRefusedError } from '@thermomesh/sql';
import type { Rejection } from '@thermomesh/contracts';
import { addApplied, type Applied, type Entry } from './batch.ts';

/** Some readings have the key of a stored reading, but other values. */
export class SeqConflictError extends Error {
  /** Log ids of the conflicting messages. */
  readonly logIds: ReadonlySet<number>;

  constructor(logIds: Iterable<number>) {
    super('a seq was used again with other values');
    this.name = 'SeqConflictError';
    this.logIds = new Set(logIds);
  }
}

/**
 * Messages are missing before the batch. Storing the batch would move the high-water mark past them
 * (I1).
 */
export class DrainGapError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DrainGapError';
  }
}

/**
 * Stores all of the entries or none, in one transaction.
 * @throws SeqConflictError, DataRefusedError, or the error of any other failure
 */
export type ApplyOnce = (entries: readonly Entry[]) => Promise<Applied>;

/**
 * Applies entries in order, in as few transactions as possible. Conflicts become rejections. Data
 * that the database refuses is bisected down to the row, so that a poison message never blocks the
 * drain.
 * @throws what `applyOnce` throws for any other reason; the parts that were applied before stay,
 *   and the high-water mark covers them
 */
export async function applyEntries(entries: readonly Entry[], applyOnce: ApplyOnce): Promise<Applied> {
  try {
    return await applyOnce(entries);
  } catch (error) {
    if (error instanceof SeqConflictError) return applyEntries(withConflicts(entries, error), applyOnce);
    if (error instanceof DataRefusedError) return applyRefused(entries, error, applyOnce);
    throw error;
  }
}

async function applyRefused(
  entries: readonly Entry[],
  error: DataRefusedError,
  applyOnce: ApplyOnce,
): Promise<Applied> {
  const [first] = entries;
  if (entries.length === 1 && first !== undefined) {
    // A rejection that is refused too is a bug of this program and must not be hidden.
    if ('rejection' in first.parsed) throw error;
    const detail = `SQLSTATE ${error.sqlState}`;
    return applyOnce([
      rejected(first, { reason: 'refused_by_database', detail, seq: first.parsed.reading.seq }),
    ]);
  }
  const middle = Math.ceil(entries.length / 2);
  const left = await applyEntries(entries.slice(0, middle), applyOnce);
  const right = await applyEntries(entries.slice(middle), applyOnce);
  return addApplied(left, right);
}

function withConflicts(entries: readonly Entry[], { logIds }: SeqConflictError): Entry[] {
  let found = 0;
  const resolved = entries.map((entry) => {
    if (!logIds.has(entry.logId) || 'rejection' in entry.parsed) return entry;
    found++;
    const { seq } = entry.parsed.reading;
    return rejected(entry, { reason: 'seq_conflict', detail: `seq ${seq} is stored with other values`, seq });
  });
  // Each round turns at least one reading into a rejection, so the rounds end.
  if (found === 0) throw new RangeError('the database names conflicts that are not in the batch');
  return resolved;
}

function rejected(entry: Entry, rejection: Rejection): Entry {
  return { ...entry, parsed: { rejection }, implausible: false };
}
