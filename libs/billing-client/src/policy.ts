/** Decides whether a call is tried again, and after which pause. */
import {
  ExponentialBackoff,
  fullJitterGenerator,
  type IBackoff,
  type IBackoffFactory,
  type IRetryBackoffContext,
} from 'cockatiel';
import { BillingNoAnswerError } from './errors.ts';

/**
 * How often billing may act on a call (names after Birrell and Nelson, "Implementing Remote
 * Procedure Calls", 1984):
 * - `maybe`: one try; without an answer the outcome is unknown.
 * - `at-most-once`: tried again only if billing has certainly not received the request.
 * - `at-least-once`: tried until there is an answer or the deadline has passed. All tries have the
 *   same transaction UUID, so billing acts effectively once.
 */
export type Semantics = 'maybe' | 'at-most-once' | 'at-least-once';

export interface RetryLimits {
  /**
   * Upper bound of the first pause; the bound doubles with each pause. Pauses are random between 0
   * and the bound (full jitter).
   */
  backoffFirstMs: number;
  /** Upper bound of every pause. */
  backoffMaxMs: number;
}

/** True if `error` may be followed by another try under these semantics. */
export function mayRetry(semantics: Semantics, error: unknown): boolean {
  if (!(error instanceof BillingNoAnswerError) || !error.retriable) return false;
  switch (semantics) {
    case 'maybe':
      return false;
    case 'at-most-once':
      return !error.sent;
    case 'at-least-once':
      return true;
  }
}

/**
 * Makes the backoff: exponential with full jitter, at least billing's Retry-After, at most the time
 * that is left.
 * @param remainingMs returns the time until the deadline
 */
export function createRetryBackoff(
  { backoffFirstMs, backoffMaxMs }: RetryLimits,
  remainingMs: () => number,
): IBackoffFactory<IRetryBackoffContext<unknown>> {
  const jitter = new ExponentialBackoff({
    generator: fullJitterGenerator,
    initialDelay: backoffFirstMs,
    maxDelay: backoffMaxMs,
  });
  const withLimits = (
    inner: IBackoff<unknown>,
    context: IRetryBackoffContext<unknown>,
  ): IBackoff<IRetryBackoffContext<unknown>> => ({
    duration: Math.min(Math.max(inner.duration, retryAfterOf(context)), Math.max(0, remainingMs())),
    next: (following) => withLimits(inner.next(following), following),
  });
  return { next: (context) => withLimits(jitter.next(), context) };
}

function retryAfterOf({ result }: IRetryBackoffContext<unknown>): number {
  return 'error' in result && result.error instanceof BillingNoAnswerError ? result.error.retryAfterMs : 0;
}
