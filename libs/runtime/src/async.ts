/**
 * Waits that end early on abort or timeout, one-at-a-time execution, and pauses between attempts.
 */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Resolves with the result of `work`, or rejects with the reason of `signal` when that aborts
 * first. `work` itself continues; its late result is dropped, and its late rejection is not
 * reported as unhandled.
 */
export async function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    for (const each of [work, aborted.promise]) each.catch(() => undefined);
  }
}

/**
 * Resolves with the result of `work`, or rejects with the error that `late` makes when `timeoutMs`
 * pass first. `work` itself continues, as in `raceAbort`.
 */
export async function raceTimeout<T>(work: Promise<T>, timeoutMs: number, late: () => Error): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(() => expired.reject(late()), timeoutMs);
  try {
    return await Promise.race([work, expired.promise]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

/**
 * Resolves after `ms` milliseconds, or as soon as `signal` aborts. It does not reject: the caller
 * checks the signal.
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error;
  });
}

/** Runs asynchronous work one piece after another, in the order of the calls. */
export type Sequencer = <T>(work: () => Promise<T>) => Promise<T>;

/** Makes a sequencer. A piece of work that fails does not stop the pieces behind it. */
export function createSequencer(): Sequencer {
  let last: Promise<unknown> = Promise.resolve();
  return async (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

export interface BackoffLimits {
  /** Duration of the first pause; no later one is shorter. */
  minMs: number;
  /** Upper bound of every pause. */
  maxMs: number;
}

/**
 * The pause before an attempt: exponential, with full jitter and a floor. Source: Brooker,
 * "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015).
 * @param failures attempts that failed in a row, from 1
 * @param random in [0, 1)
 */
export function backoffMs(failures: number, { minMs, maxMs }: BackoffLimits, random: number): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
  return minMs + random * (ceilingMs - minMs);
}

/** Pauses whose upper bound doubles with each call to `wait`; `reset` starts again at `minMs`. */
export interface Backoff {
  /** Resolves after the pause, or at once when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
  reset(): void;
}

/** Makes a backoff on the real clock; `random` and `pause` are for tests. */
export function createBackoff(limits: BackoffLimits, random = Math.random, pause = sleep): Backoff {
  let failures = 0;
  return {
    async wait(signal) {
      failures += 1;
      await pause(backoffMs(failures, limits, random()), signal);
    },
    reset: () => {
      failures = 0;
    },
  };
}

/** True if `error` is marked as retriable: the same call may succeed later. */
export function isRetriable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retriable' in error && error.retriable === true;
}
