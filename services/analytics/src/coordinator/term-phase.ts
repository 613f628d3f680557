/** The phases of a term as coordinator, and the signals that end its waits. */

/** A term drains, then releases its title gracefully or is aborted. */
export type Phase =
  | { phase: 'draining' }
  /** Commits and acknowledges the batch under way, then releases the session and the lease. */
  | { phase: 'releasing' }
  /** Commits and acknowledges nothing more. */
  | { phase: 'aborted' };

/** The phase of one term. It only moves forward. */
export interface TermPhase {
  readonly current: Phase;
  /** Aborts when the term no longer drains, gracefully or at once. */
  readonly ending: AbortSignal;
  /** Aborts when the term is aborted. */
  readonly aborted: AbortSignal;
  /** Ends the draining gracefully; without effect later. */
  release(): void;
  /** Ends the term at once, also during a release. */
  abort(): void;
}

/** @param reason the error with which the signals abort */
export function createTermPhase(reason: Error): TermPhase {
  let current: Phase = { phase: 'draining' };
  const ending = new AbortController();
  const aborted = new AbortController();
  return {
    get current() {
      return current;
    },
    ending: ending.signal,
    aborted: aborted.signal,
    release() {
      switch (current.phase) {
        case 'draining':
          current = { phase: 'releasing' };
          ending.abort(reason);
          return;
        case 'releasing':
        case 'aborted':
          return;
      }
    },
    abort() {
      switch (current.phase) {
        case 'draining':
        case 'releasing':
          current = { phase: 'aborted' };
          aborted.abort(reason);
          ending.abort(reason);
          return;
        case 'aborted':
          return;
      }
    },
  };
}
