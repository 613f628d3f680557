/** From when there are topics to read: a leader's reader begins then, and not before. */
import { setTimeout as delay } from 'node:timers/promises';
import type { PartitionReader } from '@thermomesh/kafka';
import { codeOf, type Log } from '@thermomesh/runtime';
import type { Records } from '../adapters/kafka-records.ts';

export interface TopicsOptions {
  records: Pick<Records, 'ensure'>;
  reader: Pick<PartitionReader, 'start'>;
  /** Why it cannot begin; undefined when it has. */
  onFault: (error: unknown) => void;
  log: Log;
  signal: AbortSignal;
  pauseMs?: number;
}

/** Topics that were refused are asked for again after this. */
const refusedPauseMs = 1_000;

/** Settles when the reader was started, or the signal is aborted. Never rejects. */
export async function readFromWhenThere(options: TopicsOptions): Promise<void> {
  const { records, reader, onFault, log, signal, pauseMs = refusedPauseMs } = options;
  while (!signal.aborted) {
    try {
      await records.ensure(signal);
      if (signal.aborted) return;
      onFault(undefined);
      return reader.start();
    } catch (error) {
      if (signal.aborted) return;
      // Brokers that come one after the other refuse three copies as long as there are two of them.
      onFault(error);
      log.error({ event: 'kafka.topics_refused', code: codeOf(error), err: error });
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
