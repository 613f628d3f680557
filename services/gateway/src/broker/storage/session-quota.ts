/**
 * Keeps what the sessions besides the drain session hold within its limits. A queue that has
 * reached a limit keeps its messages; new ones are not queued for it, and are counted.
 */
import type { DropReason, Session } from './session.ts';

/** Limits of what the sessions besides the drain session hold. */
export interface SessionLimits {
  /** Maximum number of queue entries of one session. */
  messagesMax: number;
  /**
   * Maximum size in bytes of the messages that only these sessions need, of all of them together.
   */
  bytesMax: number;
  /** Called when messages for a session begin to be dropped, and again when the reason changes. */
  onFull: (clientId: string, reason: DropReason) => void;
  /** Called for each message that is not queued for a session. */
  onDropped: (reason: DropReason) => void;
}

/** Decides whether a queue takes one more message. */
export interface SessionQuota {
  /** False if a limit keeps a new message out of the queue of the session. */
  admits(clientId: string, session: Pick<Session, 'queued' | 'full'>): boolean;
}

/** @param sessionBytes size of the messages that only these sessions need, in bytes */
export function createSessionQuota(limits: SessionLimits, sessionBytes: () => number): SessionQuota {
  const { messagesMax, bytesMax, onFull, onDropped } = limits;

  function reasonFor(queued: number): DropReason | undefined {
    if (queued >= messagesMax) return 'queue_full';
    return sessionBytes() >= bytesMax ? 'sessions_full' : undefined;
  }

  return {
    admits(clientId, session) {
      const reason = reasonFor(session.queued);
      if (reason !== undefined) {
        if (session.full !== reason) onFull(clientId, reason);
        onDropped(reason);
      }
      session.full = reason;
      return reason === undefined;
    },
  };
}
