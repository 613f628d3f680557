/** How a batch gets in although some of it cannot: conflicts and refused rows are told apart, one by one if need be. */
import { DataRefusedError } from '@thermomesh/sql';
import type { Rejection } from '@thermomesh/contracts';
import { addApplied, type Applied, type Entry } from './batch.ts';

/** Some readings have the key of a stored one, but other values. */
export class SeqConflictError extends Error {
  readonly logIds: ReadonlySet<number>;

  constructor(logIds: Iterable<number>) {
    super('a seq was used again with other values');
    this.name = 'SeqConflictError';
    this.logIds = new Set(logIds);
  }
}

/** Messages are missing before the batch: committing it would move the high-water mark past them (I1). */
export class DrainGapError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DrainGapError';
  }
}

/** One transaction: all of the entries or none. Throws SeqConflictError, DataRefusedError, or whatever else went wrong. */
export type ApplyOnce = (entries: readonly Entry[]) => Promise<Applied>;

/**
 * Applies entries in order, in as few transactions as can be: conflicts become rejections, and what the database refuses for
 * its data is bisected down to the row, so that a poison message never wedges the drain.
 * @throws what `applyOnce` throws for any other reason; what was applied by then stays, and the high-water mark says so
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
    // A rejection that is refused too would be a fault of this program: let it be seen.
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
  const marked = entries.map((entry) => {
    if (!logIds.has(entry.logId) || 'rejection' in entry.parsed) return entry;
    found++;
    const { seq } = entry.parsed.reading;
    return rejected(entry, { reason: 'seq_conflict', detail: `seq ${seq} is stored with other values`, seq });
  });
  // Each round turns at least one reading into a rejection, so the rounds end.
  if (found === 0) throw new RangeError('the database names conflicts that are not in the batch');
  return marked;
}

function rejected(entry: Entry, rejection: Rejection): Entry {
  return { ...entry, parsed: { rejection } };
}
