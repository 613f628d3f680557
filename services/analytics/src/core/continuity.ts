/**
 * Compares where the gateway's log stands with where the database stands. A database that was
 * restored from a backup, or a standby that was promoted, is behind what the gateway has had
 * acknowledged. Acknowledged messages are never skipped (I1; ADR 0016). A log that was drained into
 * one database goes on in another one only if an operator has adopted that (ADR 0020).
 */
import type { DrainGap, DrainLogState, OtherDatabase } from '@thermomesh/contracts';

/** Where the drain of one log stands in the database. */
export interface DrainPosition {
  /** Log id up to which every message is counted; 0 if the database does not know the log. */
  highWaterMark: number;
  /** Number of these messages, with those whose loss was accepted. */
  counted: number;
  /** UUID of the database. */
  database: string;
}

/** Messages that this database lacks and the gateway does not have any more. */
export interface Gap {
  kind: 'gap';
  gap: DrainGap;
  /** The database that has them; undefined if they are lost. */
  keptIn: string | undefined;
}

export type Continuity =
  /** `isNew`: the gateway has to remember this database first. */
  | { kind: 'continues'; isNew: boolean }
  /** The gateway still has messages that the database lacks: it sends those after this log id. */
  | { kind: 'behind'; afterLogId: number; messages: number }
  | Gap
  /** The log belongs to another database. */
  | { kind: 'other_database'; otherDatabase: OtherDatabase };

/**
 * What the coordinator has to do before it drains.
 * @param adopted the database that an operator has adopted
 */
export function judgeContinuity(state: DrainLogState, position: DrainPosition, adopted?: string): Continuity {
  const { log, drainedLogId, keptAfterLogId } = state;
  const { highWaterMark, counted, database } = position;
  const former = state.database ?? undefined;
  const isOther = former !== undefined && former !== database;
  if (isOther && adopted !== database)
    return { kind: 'other_database', otherDatabase: { log, database, former } };
  // The database may also be ahead, by what it has committed and the gateway has not seen
  // acknowledged.
  if (highWaterMark >= drainedLogId) return { kind: 'continues', isNew: isOther || state.database === null };
  const messages = Math.max(0, state.accepted - state.buffered - counted);
  const afterLogId = Math.max(highWaterMark, keptAfterLogId);
  if (afterLogId < drainedLogId) return { kind: 'behind', afterLogId, messages };
  const gap = { log, fromLogId: highWaterMark + 1, toLogId: drainedLogId, messages };
  return { kind: 'gap', gap, keptIn: isOther ? former : undefined };
}

/** A database that does not belong to the log, in the words of an operator. */
export function describeOtherDatabase({ log, database, former }: OtherDatabase): string {
  return (
    `log ${log} of the gateway was drained into database ${former}, but DATABASE_URL names database ${database}: ` +
    `nothing is stored there. Go back to the former database, or adopt this one with ADOPT_DATABASE=${database} ` +
    '("mesh up --adopt database" in the local mesh)'
  );
}

/** A gap in the words of an operator. */
export function describeGap({ log, fromLogId, toLogId, messages }: DrainGap): string {
  return (
    `${messages} acknowledged messages (log ids ${fromLogId} to ${toLogId} of log ${log}) are missing in the ` +
    'database, and the gateway no longer has them; restore a newer database, or accept the loss with ' +
    '"mesh drain accept-gap"'
  );
}
