/** Waiting for a condition, with a deadline. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';

export interface UntilOptions {
  /** What is waited for, for the error. */
  what: string;
  timeoutMs: number;
  pollMs?: number;
  signal?: AbortSignal | undefined;
}

/**
 * Asks until the answer is neither undefined nor false.
 * @throws MeshError `mesh.timeout`
 */
export async function until<T>(options: UntilOptions, ask: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) {
      throw new MeshError('mesh.timeout', `waited ${options.timeoutMs / 1000} s in vain for ${options.what}`);
    }
    await delay(
      options.pollMs ?? 50,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}
