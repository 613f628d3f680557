/**
 * Latencies in an HDR histogram of microseconds: three significant digits, constant memory,
 * mergeable.
 */
import type { Latency } from '@thermomesh/contracts';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Longer latencies count as one hour. */
const latencyUsMax = 3_600_000_000;

export function createLatencyHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: latencyUsMax, figures: 3 });
}

/**
 * Records a latency in microseconds. A negative one, caused by a stepped clock, counts as the
 * smallest step.
 */
export function recordLatency(histogram: RecordableHistogram, us: number): void {
  histogram.record(Math.min(Math.max(Math.round(us), 1), latencyUsMax));
}

/** p50, p99 and max in milliseconds; null where nothing was recorded. */
export function latencyOf(histogram: RecordableHistogram): Latency {
  if (histogram.count === 0) return { p50: null, p99: null, max: null };
  return {
    p50: histogram.percentile(50) / 1000,
    p99: histogram.percentile(99) / 1000,
    max: histogram.max / 1000,
  };
}
