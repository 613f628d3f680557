/** The metrics of an analytics node. */
import {
  latencyBucketsMs,
  type Counter,
  type Gauge,
  type Histogram,
  type Metrics,
} from '@thermomesh/runtime';
import type { Applied } from './core/batch.ts';

/** What the drain counts. */
export interface DrainMetrics {
  batchCommitted(applied: Applied, size: number): void;
  readonly commitMs: Histogram<string>;
  readonly staleWritesRefused: Counter<string>;
  /** Label `what`: gateway or postgresql. */
  readonly failures: Counter<'what'>;
  /** Label `outcome`: asked_again, stopped or accepted. */
  readonly gaps: Counter<'outcome'>;
  readonly batchesPruned: Counter<string>;
  readonly implausible: Counter<string>;
  /** Label `outcome`: stored, duplicate, rejected or dropped. */
  readonly bestEffort: Counter<'outcome'>;
  readonly unknownFields: Counter<string>;
  readonly takeOvers: Counter<'cause'>;
  readonly epoch: Gauge<string>;
}

/** Registers the metrics of the drain. */
export function createDrainMetrics(metrics: Metrics): DrainMetrics {
  const messages = metrics.counter('drain_messages_total', 'Messages by outcome, of this process', [
    'outcome',
  ]);
  const size = metrics.histogram(
    'drain_batch_messages',
    'Messages in a batch',
    [1, 10, 50, 100, 500, 1000, 2000, 5000],
  );
  return {
    batchCommitted(applied, batchSize) {
      for (const outcome of ['stored', 'duplicate', 'rejected', 'redelivered'] as const) {
        if (applied[outcome] > 0) messages.inc({ outcome }, applied[outcome]);
      }
      size.observe(batchSize);
    },
    commitMs: metrics.histogram('drain_commit_ms', 'Time from a batch to its COMMIT', latencyBucketsMs),
    staleWritesRefused: metrics.counter('stale_writes_refused_total', 'Batches that the fence refused (I2)'),
    failures: metrics.counter('drain_failures_total', 'Failed calls that are tried again', ['what']),
    gaps: metrics.counter(
      'drain_gaps_total',
      'Times that acknowledged messages were missing in the database (I1); accepted: they are lost',
      ['outcome'],
    ),
    batchesPruned: metrics.counter('drain_batches_pruned_total', 'Old batch records that were removed'),
    implausible: metrics.counter(
      'implausible_readings_total',
      'Readings outside the plausible limits, in committed batches',
    ),
    bestEffort: metrics.counter(
      'qos0_messages_total',
      'Readings that came at QoS 0, by outcome, of this process',
      ['outcome'],
    ),
    unknownFields: metrics.counter(
      'readings_with_unknown_fields_total',
      'Readings with a field that the contract does not have and that was left out, in committed batches',
    ),
    takeOvers: metrics.counter('takeovers_total', 'Epochs that this node won, by cause', ['cause']),
    epoch: metrics.gauge('coordinator_epoch', 'Epoch that this node holds; 0 if it is not coordinator'),
  };
}
