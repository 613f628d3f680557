/** Metrics of the commands to devices. */
import type { Counter, Metrics } from '@thermomesh/runtime';
import type { CommandStore } from './core/ports.ts';

export interface CommandMetrics {
  accepted: Counter<'replayed'>;
  deliveries: Counter<'again'>;
  acknowledged: Counter<'status'>;
  expired: Counter<string>;
  failed: Counter<'code'>;
}

/** Values that are read when the metrics are scraped. */
export interface CommandStats {
  streams: () => number;
  open: CommandStore['open'];
}

/** Registers the metrics. */
export function createCommandMetrics(metrics: Metrics, stats: CommandStats): CommandMetrics {
  const open = metrics.gauge('command_open', 'Commands that are neither final nor past their deadline');
  const age = metrics.gauge('command_oldest_age_ms', 'Age of the oldest of them');
  const streams = metrics.gauge('command_streams', 'Event streams of commands that are open');
  Object.assign(open, {
    collect: async () => {
      // NaN while PostgreSQL is away: the last known value would look current.
      const now = await stats.open().catch(() => ({ count: Number.NaN, oldestAgeMs: Number.NaN }));
      open.set(now.count);
      age.set(now.oldestAgeMs);
    },
  });
  Object.assign(streams, { collect: () => streams.set(stats.streams()) });
  return {
    accepted: metrics.counter('command_accepted_total', 'Commands answered with 202', ['replayed']),
    deliveries: metrics.counter('command_deliveries_total', 'Commands given to a connection', ['again']),
    acknowledged: metrics.counter('command_acknowledged_total', 'Commands that devices acknowledged', [
      'status',
    ]),
    expired: metrics.counter(
      'command_expired_total',
      'Commands whose deadline passed before they were final',
    ),
    failed: metrics.counter('command_failed_total', 'Statements for commands that failed', ['code']),
  };
}
