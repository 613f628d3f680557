/**
 * Compares where the gateway's log stands with where the database stands. A database that was
 * restored from a backup, or a standby that was promoted, is behind what the gateway has had
 * acknowledged. Acknowledged messages are never skipped (I1; ADR 0016).
 */
import type { DrainGap, DrainLogState } from '@thermomesh/contracts';

/** Where the drain of one log stands in the database. */
export interface DrainPosition {
  /** Log id up to which every message is counted; 0 if the database does not know the log. */
  highWaterMark: number;
  /** Number of these messages, with those whose loss was accepted. */
  counted: number;
}

export type Continuity =
  | { kind: 'continues' }
  /** The gateway still has messages that the database lacks: it sends those after this log id. */
  | { kind: 'behind'; afterLogId: number; messages: number }
  /** Messages are missing that the gateway does not have any more. */
  | { kind: 'gap'; gap: DrainGap };

/** What the coordinator has to do before it drains. */
export function judgeContinuity(state: DrainLogState, position: DrainPosition): Continuity {
  const { log, drainedLogId, keptAfterLogId } = state;
  const { highWaterMark, counted } = position;
  // The database may also be ahead, by what it has committed and the gateway has not seen
  // acknowledged.
  if (highWaterMark >= drainedLogId) return { kind: 'continues' };
  const messages = Math.max(0, state.accepted - state.buffered - counted);
  const afterLogId = Math.max(highWaterMark, keptAfterLogId);
  if (afterLogId < drainedLogId) return { kind: 'behind', afterLogId, messages };
  return { kind: 'gap', gap: { log, fromLogId: highWaterMark + 1, toLogId: drainedLogId, messages } };
}

/** A gap in the words of an operator. */
export function describeGap({ log, fromLogId, toLogId, messages }: DrainGap): string {
  return (
    `${messages} acknowledged messages (log ids ${fromLogId} to ${toLogId} of log ${log}) are missing in the ` +
    'database, and the gateway no longer has them; restore a newer database, or accept the loss with ' +
    '"mesh drain accept-gap"'
  );
}
