/** How long to wait before the next attempt to connect. */
import type { Random } from './random.ts';

export const backoffMinMs = 50;
export const backoffBaseMs = 200;
export const backoffMaxMs = 5000;

/**
 * Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a fleet
 * that lost its broker at one moment must not come back at one moment.
 * @param failures attempts that failed in a row, from 0
 */
export function backoffMs(failures: number, random: Random): number {
  const ceiling = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(failures, 16));
  return Math.max(backoffMinMs, Math.floor(random() * ceiling));
}
