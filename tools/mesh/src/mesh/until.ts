/** Waits for a condition, with a deadline. */
import { setTimeout as delay } from 'node:timers/promises';
import { meshError } from '../errors.ts';

export interface UntilOptions {
  /** The condition in words, for the error. */
  what: string;
  timeoutMs: number;
  pollMs?: number;
  signal?: AbortSignal | undefined;
}

/**
 * Asks again and again until the answer is neither undefined nor false, and resolves with it.
 * @throws MeshError `mesh.timeout`
 */
export async function until<T>(options: UntilOptions, ask: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) {
      throw meshError('mesh.timeout', `waited ${options.timeoutMs / 1000} s in vain for ${options.what}`);
    }
    await delay(
      options.pollMs ?? 50,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}
