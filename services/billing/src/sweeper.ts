/**
 * The two loops of every replica: one finishes operations that a crash left in doubt, the other
 * retires answers after their retention.
 */
import { messageOf, sleep, type Log } from '@thermomesh/runtime';
import type { OperationStore } from './core/ports.ts';
import type { BillingMetrics } from './metrics.ts';
import type { Payments } from './payments.ts';

/** The two loops of a replica. */
export interface Sweeper {
  start(): void;
  /** Resolves when both loops have ended. */
  stop(): Promise<void>;
  /** Why the last round failed; undefined if it succeeded. */
  unhealthyReason(): string | undefined;
}

export interface SweeperOptions {
  payments: Payments;
  store: Pick<OperationStore, 'retire'>;
  metrics: BillingMetrics;
  log: Log;
  sweepIntervalMs: number;
  sweepRowsMax: number;
  retireIntervalMs: number;
  retentionDays: number;
}

/** Maximum number of answers that one statement retires; the others wait for the next round. */
const retireRowsMax = 1_000;

/** What the two loops do now. */
type State =
  | { name: 'latent' }
  | { name: 'running'; stopping: AbortController; loops: Promise<unknown> }
  | { name: 'stopped'; loops: Promise<unknown> };

/** Creates the loops; they are not started. */
export function createSweeper(options: SweeperOptions): Sweeper {
  const { payments, store, metrics, log } = options;
  let unhealthy: string | undefined = 'no statement has succeeded yet';
  let state: State = { name: 'latent' };

  async function sweep(): Promise<void> {
    await payments.sweep(options.sweepRowsMax);
  }
  async function retire(): Promise<void> {
    const count = await store.retire(options.retentionDays, retireRowsMax);
    if (count > 0) log.info({ event: 'payments.retired', count });
    metrics.retired.inc(count);
  }
  async function loop(round: () => Promise<void>, intervalMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await round();
        unhealthy = undefined;
      } catch (error) {
        // Logged once when it begins, not in every round; readiness shows that it continues.
        if (unhealthy === undefined) log.warn({ event: 'sweep.failed', err: error });
        unhealthy = messageOf(error);
      }
      await sleep(intervalMs, signal);
    }
  }
  return {
    start() {
      if (state.name !== 'latent') return;
      const stopping = new AbortController();
      const { signal } = stopping;
      const loops = Promise.all([
        loop(sweep, options.sweepIntervalMs, signal),
        loop(retire, options.retireIntervalMs, signal),
      ]);
      state = { name: 'running', stopping, loops };
    },
    async stop() {
      switch (state.name) {
        case 'latent':
          state = { name: 'stopped', loops: Promise.resolve() };
          return;
        case 'running': {
          const { stopping, loops } = state;
          state = { name: 'stopped', loops };
          stopping.abort();
          await loops;
          return;
        }
        case 'stopped':
          await state.loops;
          return;
      }
    },
    unhealthyReason: () => unhealthy,
  };
}
