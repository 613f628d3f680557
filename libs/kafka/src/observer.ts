/** What a client reports: to metrics by callbacks, to the log by events with stable names. */
import type { Log } from '@thermomesh/runtime';

/** Hooks for metrics; all of them are optional. */
export interface KafkaObserver {
  /** Every in-sync replica has stored a batch. */
  produced?(topic: string, records: number, bytes: number, durationMs: number): void;
  /** A batch was not accepted and will be sent again. */
  produceRetried?(topic: string, kind: string): void;
  /** Records have arrived. `lag` is the number of records of the partition that follow them. */
  read?(topic: string, partition: number, records: number, lag: number): void;
  /** A reader lost its connection and starts again at its position. */
  readerRestarted?(topic: string, kind: string): void;
}

/** The part of a log that this library uses. */
export type KafkaLog = Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;

export interface Reporting {
  log: KafkaLog;
  observer: KafkaObserver;
}
