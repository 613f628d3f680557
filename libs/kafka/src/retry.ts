/**
 * The retry policy of this library. kafkajs gives up after a few attempts and calls errors final
 * that disappear when a broker is back.
 */
import { backoffMs, raceAbort, raceTimeout, sleep, type MeshError } from '@thermomesh/runtime';
import { classifyKafkaError, KafkaClosedError, KafkaUnavailableError } from './errors.ts';
import type { KafkaSettings } from './settings.ts';

export interface RetryOptions {
  settings: Pick<KafkaSettings, 'retryDelayMs' | 'retryDelayMaxMs' | 'requestTimeoutMs'>;
  deadlineMs: number;
  signal: AbortSignal;
  /** Called before each pause. */
  onRetry?: (error: MeshError) => void;
}

/**
 * Repeats `work` until it succeeds. An attempt that is under way at the deadline may last one more
 * request timeout. It is abandoned then, because promises of kafkajs may never settle.
 * @throws KafkaRefusedError at once; KafkaUnavailableError when the deadline passes;
 *   KafkaClosedError when the signal aborts
 */
export async function retryUntil<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { settings, deadlineMs, signal, onRetry } = options;
  const deadline = Date.now() + deadlineMs;
  const hangs = () =>
    new KafkaUnavailableError(undefined, `no success in ${deadlineMs} ms: an attempt hangs`);
  for (let tries = 0; ; tries++) {
    if (signal.aborted) throw new KafkaClosedError();
    try {
      const attemptMs = Math.max(0, deadline - Date.now()) + settings.requestTimeoutMs;
      // In this order an abort also ends the timer, which would keep the process alive.
      return await raceTimeout(raceAbort(work(), signal), attemptMs, hangs);
    } catch (caught) {
      if (signal.aborted) throw new KafkaClosedError();
      const error = classifyKafkaError(caught);
      if (!error.retriable) throw error;
      const pauseMs = retryPauseMs(settings, tries);
      if (Date.now() + pauseMs > deadline) {
        throw new KafkaUnavailableError(
          error.cause ?? error,
          `no success in ${deadlineMs} ms: ${error.message}`,
        );
      }
      onRetry?.(error);
      await sleep(pauseMs, signal);
    }
  }
}

/**
 * The pause in milliseconds after a failure: exponential, without jitter.
 * @param failures attempts that failed before this one, from 0
 */
export function retryPauseMs(
  { retryDelayMs, retryDelayMaxMs }: Pick<KafkaSettings, 'retryDelayMs' | 'retryDelayMaxMs'>,
  failures: number,
): number {
  return backoffMs(failures + 1, { minMs: retryDelayMs, maxMs: retryDelayMaxMs }, 1);
}
