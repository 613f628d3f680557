/** What the checkout counts. */
import type { Counter, Gauge, Metrics } from '@thermomesh/runtime';
import type { CheckoutStore } from './core/ports.ts';

export interface CheckoutMetrics {
  accepted: Counter<'replayed'>;
  final: Counter<'status'>;
  attemptsFailed: Counter<'code'>;
  handOvers: Counter<'again'>;
  watchFailed: Counter<'code'>;
}

/** What is read when the metrics are scraped. */
export interface CheckoutFigures {
  available: () => boolean;
  streams: () => number;
  outbox: CheckoutStore['outbox'];
}

export function createCheckoutMetrics(metrics: Metrics, figures: CheckoutFigures): CheckoutMetrics {
  collected(metrics.gauge('checkout_available', '1 while checkouts are accepted'), async () =>
    figures.available() ? 1 : 0,
  );
  collected(metrics.gauge('checkout_streams', 'Event streams that are open'), async () => figures.streams());
  const depth = metrics.gauge('checkout_outbox_depth', 'Accepted checkouts that are not final');
  const age = metrics.gauge('checkout_outbox_oldest_age_ms', 'Age of the oldest of them');
  const outbox = shared(() =>
    // Not a number while PostgreSQL is away: the last one known would look like the truth.
    figures.outbox().catch(() => ({ depth: Number.NaN, oldestAgeMs: Number.NaN })),
  );
  collected(depth, async () => (await outbox()).depth);
  collected(age, async () => (await outbox()).oldestAgeMs);
  return {
    accepted: metrics.counter('checkout_accepted_total', 'Checkouts answered with 202', ['replayed']),
    final: metrics.counter('checkout_final_total', 'Checkouts that became final here', ['status']),
    attemptsFailed: metrics.counter(
      'checkout_attempts_failed_total',
      'Attempts at billing without a final answer',
      ['code'],
    ),
    handOvers: metrics.counter('checkout_hand_overs_total', 'Checkouts given to the queue', ['again']),
    watchFailed: metrics.counter('checkout_watch_failed_total', 'Looks for final answers that failed', [
      'code',
    ]),
  };
}

/** Gauges that are read at once share one look, so that a scrape tells of one moment; the next scrape looks anew. */
function shared<T>(look: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () =>
    (underWay ??= look().finally(() => {
      underWay = undefined;
    }));
}

/** A gauge that is read where the number is kept. */
function collected(gauge: Gauge<string>, read: () => Promise<number>): void {
  Object.assign(gauge, { collect: async () => gauge.set(await read()) });
}
