/** The retry loop of work on images: a few attempts by this node before the failure counts. */

export interface RetryOptions {
  triesMax: number;
  /** True if another attempt may succeed. */
  mayRetry: (error: unknown) => boolean;
  /** Receives each error, and the number of the attempt that failed, from 1. */
  onError: (error: unknown, tries: number) => void;
  /** Waits before the next attempt; `tries` have failed. Resolves early if `signal` aborts. */
  pause: (tries: number) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Calls `work` until it succeeds, fails permanently, or has failed `triesMax` times.
 * @throws the error of the last attempt; no further one is made once `signal` has aborted
 */
export async function withRetries<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { triesMax, mayRetry, onError, pause, signal } = options;
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw error;
      onError(error, tries);
      if (tries >= triesMax || !mayRetry(error)) throw error;
      await pause(tries);
      if (signal.aborted) throw error;
    }
  }
}
