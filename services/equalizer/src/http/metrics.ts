/** What the HTTP surface counts. */
import type { Counter, Metrics } from '@thermomesh/runtime';

export interface HttpMetrics {
  submissions: Counter<'outcome'>;
}

export function createHttpMetrics(
  metrics: Metrics,
  read: { uploads: () => number; streams: () => number },
): HttpMetrics {
  const gauge = (name: string, help: string, value: () => number) => {
    const made = metrics.gauge(`equalizer_${name}`, help);
    // Asked for when somebody looks.
    (made as unknown as { collect: () => void }).collect = () => made.set(value());
  };
  gauge('uploads', 'Uploads under way', read.uploads);
  gauge('event_streams', 'Event streams that are open', read.streams);
  return {
    submissions: metrics.counter(
      'equalizer_submissions_total',
      'Requests for a job: accepted, replayed, or why they were refused',
      ['outcome'],
    ),
  };
}
