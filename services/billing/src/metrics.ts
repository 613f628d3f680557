/** The metrics of a replica. */
import type { Counter, Gauge, Histogram, Metrics } from '@thermomesh/runtime';

/** What billing counts. */
export interface BillingMetrics {
  answers: Counter<'status' | 'replayed'>;
  sends: Counter<'result'>;
  takeOvers: Counter<string>;
  fenced: Counter<string>;
  workFailed: Counter<'code'>;
  inDoubt: Gauge<string>;
  retired: Counter<string>;
  gathered: Histogram<'statement'>;
}

/** Registers the metrics of billing. */
export function createBillingMetrics(metrics: Metrics): BillingMetrics {
  return {
    answers: metrics.counter('billing_answers_total', 'Final answers given to callers', [
      'status',
      'replayed',
    ]),
    sends: metrics.counter('billing_processor_sends_total', 'Calls of the processor, by their result', [
      'result',
    ]),
    takeOvers: metrics.counter(
      'billing_take_overs_total',
      'Operations taken over from a holder whose lease had expired',
    ),
    fenced: metrics.counter('billing_fenced_total', 'Writes that the attempt fence refused'),
    workFailed: metrics.counter('billing_work_failed_total', 'Work on an operation that failed, by code', [
      'code',
    ]),
    inDoubt: metrics.gauge(
      'billing_in_doubt',
      'Operations without an answer and without a living holder, at the last sweep',
    ),
    retired: metrics.counter('billing_retired_total', 'Answers dropped after their retention'),
    gathered: metrics.histogram(
      'billing_statement_operations',
      'Operations that shared a statement and its commit',
      [1, 2, 4, 8, 16, 32, 64, 128, 256],
      ['statement'],
    ),
  };
}
