/**
 * Moves work from the outbox to the queue. The outbox is the truth: a row stays until its checkout is final, and is handed over
 * again when it has not become so in time. So a queue that forgets everything loses nothing (I5), and one that is told twice does
 * nothing twice (I3: billing knows the transaction UUID).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import type { CheckoutQueue, CheckoutStore, Unavailable } from './ports.ts';

export interface RelayDeps {
  store: Pick<CheckoutStore, 'claimDue' | 'giveBack'>;
  queue: CheckoutQueue;
  /** Nothing is handed over while this says why not. */
  queueFault: () => Unavailable | undefined;
  crash: CrashHook;
  log: Log;
  /** @param again of `count`, how many were handed over before */
  onHandOver: (count: number, again: number) => void;
  /** How the last look at the outbox ended: what failed, undefined if nothing. */
  onLook: (error: unknown) => void;
  limits: { intervalMs: number; rowsMax: number; requeueMs: number };
}

export interface Relay {
  start(): void;
  /** There is something new: look now. */
  wake(): void;
  stop(): Promise<void>;
}

export function createRelay(deps: RelayDeps): Relay {
  const { log, limits } = deps;
  let nap = new AbortController();
  let woken = false;
  let stopping = false;
  let failing = false;
  let loop: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    while (!stopping) {
      woken = false;
      const more = await look();
      if (more || woken || stopping) continue;
      nap = new AbortController();
      await delay(limits.intervalMs, undefined, { signal: nap.signal }).catch(() => undefined);
    }
  }

  /** True if there may be more to do at once. */
  async function look(): Promise<boolean> {
    try {
      const count = deps.queueFault() === undefined ? await handOver(deps) : 0;
      deps.onLook(undefined);
      failing = false;
      return count === limits.rowsMax;
    } catch (error) {
      // One line when it begins, not one a look: metrics and answers carry it on.
      if (!failing) log.warn({ event: 'checkout.relay_failed', code: codeOf(error), err: error });
      failing = true;
      deps.onLook(error);
      return false;
    }
  }

  function wake(): void {
    woken = true;
    nap.abort();
  }

  return {
    start() {
      loop = run();
    },
    wake,
    async stop() {
      stopping = true;
      wake();
      await loop;
    },
  };
}

/** One batch; returns how many rows it had. */
async function handOver({ store, queue, crash, onHandOver, limits }: RelayDeps): Promise<number> {
  const rows = await store.claimDue(limits.rowsMax, limits.requeueMs);
  if (rows.length === 0) return 0;
  crash('checkout.before-enqueue');
  const checkoutIds = rows.map(({ checkoutId }) => checkoutId);
  try {
    await queue.add(checkoutIds);
  } catch (error) {
    // Best effort: without it they are due again after CHECKOUT_REQUEUE_MS.
    await store.giveBack(checkoutIds).catch(() => undefined);
    throw error;
  }
  onHandOver(rows.length, rows.filter(({ handOvers }) => handOvers > 1).length);
  return rows.length;
}
