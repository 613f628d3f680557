/** Tries a rejected message once more, as the drain would treat it if it came now. */
import type { ReplayDocument } from '@thermomesh/contracts';
import { DataRefusedError } from '@thermomesh/sql';
import { SeqConflictError } from '../core/apply.ts';
import { readAgain, type ReadingRules, type RejectedMessage } from '../core/replay.ts';
import type { Coordinator } from './coordinator.ts';

/**
 * A message that is still no reading, or whose key is stored with other values, stays rejected
 * under its first reason; the answer says why it is rejected now.
 * @throws MeshError `drain.not_coordinator`; or the error of the database
 */
export async function replayMessage(
  message: RejectedMessage,
  rules: ReadingRules,
  coordinator: Pick<Coordinator, 'replay'>,
): Promise<ReplayDocument> {
  const { id } = message;
  const again = readAgain(message, rules);
  if ('rejection' in again) {
    const { reason, detail } = again.rejection;
    return { id, outcome: 'rejected', reason, detail };
  }
  try {
    return { id, outcome: await coordinator.replay(id, again.entry), reason: null, detail: null };
  } catch (error) {
    if (error instanceof SeqConflictError)
      return {
        id,
        outcome: 'rejected',
        reason: 'seq_conflict',
        detail: 'its seq is stored with other values',
      };
    if (error instanceof DataRefusedError)
      return { id, outcome: 'rejected', reason: 'refused_by_database', detail: `SQLSTATE ${error.sqlState}` };
    throw error;
  }
}
