/** The pause between two attempts at one checkout. */
import { backoffMs, type BackoffLimits } from '@thermomesh/runtime';

/**
 * Exponential with full jitter, without the floor of other backoffs: when billing fails, many
 * checkouts fail at once, and their first pauses must differ too. The result is a whole number of
 * milliseconds and at least 1, because BullMQ takes 0 for "at once".
 * @param attempts attempts that failed, from 1
 * @param limits bounds of the longest possible pause: `minMs` after the first attempt, `maxMs`
 *   later
 * @param random in [0, 1)
 */
export function attemptPauseMs(attempts: number, limits: BackoffLimits, random: number): number {
  const longestMs = backoffMs(attempts, limits, 1);
  return Math.max(1, Math.floor(random * longestMs));
}
