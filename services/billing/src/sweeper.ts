/** Two loops of every replica: finish what a crash left in doubt, and retire answers after their retention. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, type Log } from '@thermomesh/runtime';
import type { OperationStore } from './adapters/pg-operations.ts';
import type { BillingMetrics } from './metrics.ts';
import type { Payments } from './payments.ts';

export interface Sweeper {
  start(): void;
  stop(): Promise<void>;
  /** Why the last look failed; undefined if it did not. */
  fault(): string | undefined;
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

/** Answers retired in one statement; what is left waits for the next look. */
const retireRowsMax = 1_000;

export function createSweeper(options: SweeperOptions): Sweeper {
  const { payments, store, metrics, log } = options;
  const stopping = new AbortController();
  let fault: string | undefined = 'no look at the database yet';
  let loops: Promise<unknown> = Promise.resolve();

  async function sweep(): Promise<void> {
    await payments.sweep(options.sweepRowsMax);
  }
  async function retire(): Promise<void> {
    const count = await store.retire(options.retentionDays, retireRowsMax);
    if (count > 0) log.info({ event: 'payments.retired', count });
    metrics.retired.inc(count);
  }
  async function loop(look: () => Promise<void>, intervalMs: number): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await look();
        fault = undefined;
      } catch (error) {
        // One line when it begins, not one a look: readiness carries it on.
        if (fault === undefined) log.warn({ event: 'sweep.failed', err: error });
        fault = messageOf(error);
      }
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }
  return {
    start() {
      loops = Promise.all([loop(sweep, options.sweepIntervalMs), loop(retire, options.retireIntervalMs)]);
    },
    async stop() {
      stopping.abort();
      await loops;
    },
    fault: () => fault,
  };
}
