/** Stores a rejected message that is a valid reading now, on the session of the drain. */
import { SqlStatementError, type SqlSession } from '@thermomesh/sql';
import { SeqConflictError } from '../core/apply.ts';
import type { Entry } from '../core/batch.ts';

/** SQLSTATE of the drain's statement for a key that is stored with other values. */
const seqConflictState = 'sql.TM002';

interface Replay {
  epoch: number;
  nodeId: number;
  /** Id of the row in `rejected_readings`. */
  id: number;
  entry: Entry;
}

/**
 * Replays one message. The first outcome of two replays at once is final, the second is `gone`.
 * @throws StaleEpochError, SeqConflictError, DataRefusedError, SqlUnavailableError
 */
export async function replay(
  session: SqlSession,
  { epoch, nodeId, id, entry }: Replay,
): Promise<'stored' | 'duplicate' | 'gone'> {
  if (!('reading' in entry.parsed)) throw new RangeError('only a valid reading can be replayed');
  const { incarnation, seq, measuredAtMs, ...values } = entry.parsed.reading;
  try {
    const [row] = await session.query<{ outcome: 'stored' | 'duplicate' | 'gone' }>(
      'SELECT replay_rejected($1, $2, $3, $4, $5, from_unix_ms($6), $7, $8, $9, $10, $11) AS outcome',
      [
        ...[epoch, nodeId, id, incarnation, seq, measuredAtMs],
        ...[values.celsius, values.setpointCelsius, values.humidityPercent, values.heating],
        entry.implausible,
      ],
    );
    if (row === undefined) throw new RangeError('replay_rejected answered no row');
    return row.outcome;
  } catch (error) {
    if (error instanceof SqlStatementError && error.code === seqConflictState)
      throw new SeqConflictError([entry.logId]);
    throw error;
  }
}
