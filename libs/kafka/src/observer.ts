/** What a client tells of itself: to metrics by callbacks, to the log by events with stable names. */
import type { Log } from '@thermomesh/runtime';

/** Hooks for metrics; all may be left out. */
export interface KafkaObserver {
  /** A batch is stored by every replica that is in sync. */
  produced?(topic: string, records: number, bytes: number, durationMs: number): void;
  /** A batch was not taken and is sent again. */
  produceRetried?(topic: string, kind: string): void;
  /** Records have arrived; `lag`: how many of the partition are still behind them. */
  read?(topic: string, partition: number, records: number, lag: number): void;
  /** A reader lost its connection and starts anew, where it was. */
  readerRestarted?(topic: string, kind: string): void;
}

/** The part of a log that is used. */
export type KafkaLog = Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;

export interface Reporting {
  log: KafkaLog;
  observer: KafkaObserver;
}
