/** Pauses between tries: exponential, with full jitter, cut short when the work is called off. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffLimits {
  minMs: number;
  maxMs: number;
}

/** A pause that grows with each call to `wait` and starts anew after `reset`. */
export interface Backoff {
  /** Resolves after the pause, or at once when `signal` is aborted. */
  wait(signal: AbortSignal): Promise<void>;
  reset(): void;
}

/** Waits; rejects when `signal` is aborted. */
type Pause = (ms: number, signal: AbortSignal) => Promise<unknown>;
const realPause: Pause = (ms, signal) => sleep(ms, undefined, { signal });

/** Source: Brooker, "Exponential Backoff and Jitter" (full jitter, with a floor of `minMs`). */
export function createBackoff(
  { minMs, maxMs }: BackoffLimits,
  random = Math.random,
  pause = realPause,
): Backoff {
  let ceilingMs = minMs;
  return {
    async wait(signal) {
      const pauseMs = minMs + random() * (ceilingMs - minMs);
      ceilingMs = Math.min(ceilingMs * 2, maxMs);
      await pause(pauseMs, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    },
    reset: () => {
      ceilingMs = minMs;
    },
  };
}
