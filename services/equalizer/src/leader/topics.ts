/** Starts a leader's reader once both topics exist. */
import type { PartitionReader } from '@thermomesh/kafka';
import { codeOf, sleep, type Log } from '@thermomesh/runtime';
import type { Records } from '../core/ports.ts';

export interface TopicsOptions {
  records: Pick<Records, 'ensure'>;
  reader: Pick<PartitionReader, 'start'>;
  /** Receives the error of each failed attempt, and undefined after a successful one. */
  onAttempt: (error: unknown) => void;
  log: Log;
  signal: AbortSignal;
  pauseMs?: number;
}

/** Pause before topics that the brokers refused are requested again. */
const refusedPauseMs = 1_000;

/** Resolves when the reader was started, or `signal` aborts. Never rejects. */
export async function readFromWhenThere(options: TopicsOptions): Promise<void> {
  const { records, reader, onAttempt, log, signal, pauseMs = refusedPauseMs } = options;
  while (!signal.aborted) {
    try {
      await records.ensure(signal);
      if (signal.aborted) return;
      onAttempt(undefined);
      return reader.start();
    } catch (error) {
      if (signal.aborted) return;
      // While brokers start one after the other, two of them refuse topics with three copies.
      onAttempt(error);
      log.error({ event: 'kafka.topics_refused', code: codeOf(error), err: error });
      await sleep(pauseMs, signal);
    }
  }
}
