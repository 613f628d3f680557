/** Where the drain of a log stands in PostgreSQL, and the gaps that were accepted (I1, I6). */
import type { DrainGap } from '@thermomesh/contracts';
import { SqlStatementError, type SqlSession } from '@thermomesh/sql';
import type { DrainPosition } from '../core/continuity.ts';
import { analyticsError } from '../core/errors.ts';

/** SQLSTATE that accept_drain_gap raises if the database does not stand at this gap. */
const noSuchGapState = 'sql.TM004';

/** Reads the position of the log with this UUID; a log that the database does not know is at 0. */
export async function readPosition(session: SqlSession, log: string): Promise<DrainPosition> {
  const [row] = await session.query<{ highWaterMark: number; counted: number; database: string }>(
    `SELECT coalesce(high_water_mark, 0) AS "highWaterMark",
            coalesce(stored + duplicate + rejected, 0)
              + (SELECT coalesce(sum(messages), 0)::bigint FROM drain_gaps g WHERE g.log = l.log) AS counted,
            database::text AS database
     FROM database_identity LEFT JOIN drain_logs l ON l.log = $1`,
    [log],
  );
  if (row === undefined) throw new RangeError('the table database_identity has no row');
  return row;
}

/**
 * Records an accepted gap; `keptIn` is the database that has its messages, if any.
 * @throws StaleEpochError, MeshError `drain.no_such_gap`
 */
export async function acceptGap(
  session: SqlSession,
  epoch: number,
  nodeId: number,
  { log, fromLogId, toLogId, messages, keptIn }: DrainGap & { keptIn?: string | undefined },
): Promise<void> {
  try {
    await session.query('SELECT accept_drain_gap($1, $2, $3, $4, $5, $6, $7)', [
      epoch,
      nodeId,
      log,
      fromLogId,
      toLogId,
      messages,
      keptIn ?? null,
    ]);
  } catch (error) {
    if (!(error instanceof SqlStatementError) || error.code !== noSuchGapState) throw error;
    throw analyticsError('drain.no_such_gap', error.message, { cause: error });
  }
}
