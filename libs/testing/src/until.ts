/** Waits for a condition in tests. */
import { setTimeout as delay } from 'node:timers/promises';

export interface UntilOptions {
  /** Default 30 s. */
  timeoutMs?: number;
  /** Time between two looks. Default 5 ms. */
  pollMs?: number;
}

/**
 * Resolves when `holds` returns true; looks again and again until then.
 * @param what the condition in words, for the error
 * @throws Error that names `what` when the time is up, also while a look has not returned yet
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { timeoutMs = 30_000, pollMs = 5 }: UntilOptions = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const timeUp = Promise.withResolvers<never>();
  timeUp.promise.catch(() => undefined);
  const timer = setTimeout(
    () => timeUp.reject(new Error(`waited ${timeoutMs} ms in vain for: ${what} (the last look hangs)`)),
    timeoutMs + pollMs,
  );
  try {
    while (!(await Promise.race([holds(), timeUp.promise]))) {
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
      await delay(pollMs);
    }
  } finally {
    clearTimeout(timer);
  }
}
