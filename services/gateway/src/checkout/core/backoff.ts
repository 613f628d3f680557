/** Pauses between attempts at one checkout: exponential, full jitter, bounded. */
export interface BackoffLimits {
  firstMs: number;
  maxMs: number;
}

/**
 * @param attempt from 1
 * @param random in [0, 1)
 */
export function pauseMs(attempt: number, { firstMs, maxMs }: BackoffLimits, random: number): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  // Never 0: BullMQ takes that for "at once".
  return Math.max(1, Math.floor(random * bound));
}
