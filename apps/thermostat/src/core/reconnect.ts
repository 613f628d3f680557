/** The pause before a device connects again. */
import { backoffMs } from '@thermomesh/runtime';
import type { Random } from './random.ts';

/** Bounds of the pause, in milliseconds. */
export const reconnectLimits = { minMs: 50, maxMs: 5000 };

/**
 * The first pause is already spread, up to four times the minimum: a whole fleet loses its broker
 * at one moment and must not come back at one moment.
 */
const firstFailures = 3;

/**
 * Returns the pause in ms: exponential backoff with full jitter.
 * @param failures attempts that failed in a row before this one, from 0
 */
export function reconnectPauseMs(failures: number, random: Random): number {
  return backoffMs(failures + firstFailures, reconnectLimits, random());
}
