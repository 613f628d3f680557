/** Metrics of the checkout. */
import type { Counter, Gauge, Metrics } from '@thermomesh/runtime';
import type { CheckoutStore } from './core/ports.ts';

/** The counters of the checkout. */
export interface CheckoutMetrics {
  accepted: Counter<'replayed'>;
  final: Counter<'status'>;
  attemptsFailed: Counter<'code'>;
  handOvers: Counter<'again'>;
  watchFailed: Counter<'code'>;
}

/** Values that are read when the metrics are scraped. */
export interface CheckoutStats {
  available: () => boolean;
  streams: () => number;
  outbox: CheckoutStore['outbox'];
}

/** Registers the metrics. */
export function createCheckoutMetrics(metrics: Metrics, stats: CheckoutStats): CheckoutMetrics {
  collected(metrics.gauge('checkout_available', '1 while checkouts are accepted'), async () =>
    stats.available() ? 1 : 0,
  );
  collected(metrics.gauge('checkout_streams', 'Event streams that are open'), async () => stats.streams());
  const depth = metrics.gauge('checkout_outbox_depth', 'Accepted checkouts that are not final');
  const age = metrics.gauge('checkout_outbox_oldest_age_ms', 'Age of the oldest of them');
  const outbox = shared(() =>
    // NaN while PostgreSQL is away: the last known value would look current.
    stats.outbox().catch(() => ({ depth: Number.NaN, oldestAgeMs: Number.NaN })),
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

/**
 * Shares one call of `look` among concurrent callers, so that all gauges of a scrape show the same
 * moment; the next scrape calls it again.
 */
function shared<T>(look: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () =>
    (underWay ??= look().finally(() => {
      underWay = undefined;
    }));
}

/** Makes a gauge read its value at each scrape. */
function collected(gauge: Gauge<string>, read: () => Promise<number>): void {
  Object.assign(gauge, { collect: async () => gauge.set(await read()) });
}
