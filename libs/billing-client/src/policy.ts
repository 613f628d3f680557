/** When a call is tried again, and how long apart. */
import {
  ExponentialBackoff,
  fullJitterGenerator,
  type IBackoff,
  type IBackoffFactory,
  type IRetryBackoffContext,
} from 'cockatiel';
import { BillingNoAnswerError } from './errors.ts';

/**
 * What a call promises about how often billing acts on it (Birrell and Nelson's semantics by name):
 * - `maybe`: one try; without an answer nobody knows.
 * - `at-most-once`: tried again only while it is certain that billing has not seen the request.
 * - `at-least-once`: tried until there is an answer or the deadline is over. All tries carry the same transaction UUID, so it is
 *   effectively once.
 */
export type Semantics = 'maybe' | 'at-most-once' | 'at-least-once';

export interface RetryLimits {
  /** Upper bound of the first pause; each following one is twice as long. Pauses are drawn from 0 to the bound (full jitter). */
  backoffFirstMs: number;
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
 * Full jitter, never sooner than billing's own Retry-After, never beyond the deadline.
 * @param remainingMs how long the call may still take
 */
export function createBackoff(
  { backoffFirstMs, backoffMaxMs }: RetryLimits,
  remainingMs: () => number,
): IBackoffFactory<IRetryBackoffContext<unknown>> {
  const jitter = new ExponentialBackoff({
    generator: fullJitterGenerator,
    initialDelay: backoffFirstMs,
    maxDelay: backoffMaxMs,
  });
  const around = (
    inner: IBackoff<unknown>,
    context: IRetryBackoffContext<unknown>,
  ): IBackoff<IRetryBackoffContext<unknown>> => ({
    duration: Math.min(Math.max(inner.duration, retryAfterOf(context)), Math.max(0, remainingMs())),
    next: (following) => around(inner.next(following), following),
  });
  return { next: (context) => around(jitter.next(), context) };
}

function retryAfterOf({ result }: IRetryBackoffContext<unknown>): number {
  return 'error' in result && result.error instanceof BillingNoAnswerError ? result.error.retryAfterMs : 0;
}
