/** What a replica counts. */
import type { Counter, Gauge, Histogram, Metrics } from '@thermomesh/runtime';

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

export function createBillingMetrics(metrics: Metrics): BillingMetrics {
  return {
    answers: metrics.counter('billing_answers_total', 'Final answers given to callers', [
      'status',
      'replayed',
    ]),
    sends: metrics.counter('billing_processor_sends_total', 'Calls of the processor, by what came of them', [
      'result',
    ]),
    takeOvers: metrics.counter(
      'billing_take_overs_total',
      'Operations taken from a holder whose lease was over',
    ),
    fenced: metrics.counter('billing_fenced_total', 'Writes that the attempt fence refused'),
    workFailed: metrics.counter('billing_work_failed_total', 'Work on an operation that ended by an error', [
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
