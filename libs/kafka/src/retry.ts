/** Our own retry policy: kafkajs gives up after a few tries, and calls errors final that pass when a broker is back. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MeshError } from '@thermomesh/runtime';
import { classifyKafkaError, KafkaClosedError, KafkaUnavailableError } from './errors.ts';
import type { KafkaSettings } from './settings.ts';

export interface RetryOptions {
  settings: Pick<KafkaSettings, 'retryDelayMs' | 'retryDelayMaxMs'>;
  deadlineMs: number;
  signal: AbortSignal;
  /** Called before each pause. */
  onRetry?: (error: MeshError) => void;
}

/**
 * Tries until it works.
 * @throws KafkaRefusedError at once; KafkaUnavailableError when the deadline is over; KafkaClosedError when the signal fires
 */
export async function retryUntil<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { settings, deadlineMs, signal, onRetry } = options;
  const deadline = Date.now() + deadlineMs;
  for (let tries = 0; ; tries++) {
    if (signal.aborted) throw new KafkaClosedError();
    try {
      return await work();
    } catch (caught) {
      if (signal.aborted) throw new KafkaClosedError();
      const error = classifyKafkaError(caught);
      if (!error.retriable) throw error;
      const pauseMs = pauseOf(settings, tries);
      if (Date.now() + pauseMs > deadline) {
        throw new KafkaUnavailableError(
          error.cause ?? error,
          `no success in ${deadlineMs} ms: ${error.message}`,
        );
      }
      onRetry?.(error);
      await pause(pauseMs, signal);
    }
  }
}

/** The pause after the `tries`-th failure, counted from 0. */
export function pauseOf(
  { retryDelayMs, retryDelayMaxMs }: Pick<KafkaSettings, 'retryDelayMs' | 'retryDelayMaxMs'>,
  tries: number,
): number {
  return Math.min(retryDelayMaxMs, retryDelayMs * 2 ** Math.min(tries, 30));
}

/** Waits, or less if the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
