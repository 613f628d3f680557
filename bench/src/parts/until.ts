/** Waits for a condition, looking again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';

export interface UntilOptions {
  what: string;
  timeoutMs?: number;
  pollMs?: number;
}

/** @returns the first answer that is not undefined. @throws MeshError `bench.timeout` */
export async function until<T>(
  { what, timeoutMs = 60_000, pollMs = 10 }: UntilOptions,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline)
      throw new MeshError('bench.timeout', `waited ${timeoutMs} ms for ${what}`);
    await delay(pollMs);
  }
}
