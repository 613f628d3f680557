/** Metrics of the HTTP surface. */
import type { Counter, Gauge, Metrics } from '@thermomesh/runtime';

export interface HttpMetrics {
  submissions: Counter<'outcome'>;
}

export function createHttpMetrics(
  metrics: Metrics,
  read: { uploads: () => number; streams: () => number },
): HttpMetrics {
  readAtScrape(metrics.gauge('equalizer_uploads', 'Uploads in flight'), read.uploads);
  readAtScrape(metrics.gauge('equalizer_event_streams', 'Event streams that are open'), read.streams);
  return {
    submissions: metrics.counter(
      'equalizer_submissions_total',
      'Requests for a job: accepted, replayed, or why they were refused',
      ['outcome'],
    ),
  };
}

/** A gauge that reads its value at each scrape. */
function readAtScrape(gauge: Gauge, value: () => number): void {
  Object.assign(gauge, { collect: () => gauge.set(value()) });
}
