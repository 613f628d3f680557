/**
 * Moves work from the outbox to the queue. The outbox is the truth: a row stays until its checkout
 * is final, and is handed over again if that takes too long. So a queue that forgets everything
 * loses nothing (I5), and a queue that gets a checkout twice charges once (I3: billing recognises
 * the transaction UUID).
 */
import { codeOf, sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import type { CheckoutQueue, CheckoutStore, Unavailable } from './core/ports.ts';

/** Limits of the relay. */
export interface RelayLimits {
  /** Interval of the looks into the outbox if nothing wakes the relay. */
  intervalMs: number;
  /** Maximum number of rows handed over at once. */
  rowsMax: number;
  /** Time after which a row is handed over again. */
  requeueMs: number;
}

export interface RelayDeps {
  store: Pick<CheckoutStore, 'claimDue' | 'release'>;
  queue: CheckoutQueue;
  /** Why the queue cannot take work now; undefined if it can. */
  queueUnavailable: () => Unavailable | undefined;
  crash: CrashHook;
  log: Log;
  /** @param again how many of the `count` checkouts had been handed over before */
  onHandOver: (count: number, again: number) => void;
  /** Called after each look into the outbox, with its error or undefined. */
  onLook: (error: unknown) => void;
  limits: RelayLimits;
}

/** The relay from the outbox to the queue. */
export interface Relay {
  start(): void;
  /** Looks into the outbox now: it has a new row, or the queue can be used again. */
  wake(): void;
  stop(): Promise<void>;
}

type State =
  | { phase: 'new' }
  | { phase: 'looking' }
  /** A wake-up came during a look, so another look follows at once. */
  | { phase: 'woken' }
  | { phase: 'pausing'; pause: AbortController }
  | { phase: 'stopped' };

/** Makes a relay; it looks into the outbox after `start`. */
export function createRelay(deps: RelayDeps): Relay {
  const { log, limits } = deps;
  let state: State = { phase: 'new' };
  let failing = false;
  let loop: Promise<void> = Promise.resolve();
  const isStopped = () => state.phase === 'stopped';

  async function run(): Promise<void> {
    while (!isStopped()) {
      state = { phase: 'looking' };
      const more = await look();
      if (!more) await rest();
    }
  }

  /** Pauses unless there was a wake-up during the look. */
  async function rest(): Promise<void> {
    if (state.phase !== 'looking') return;
    const pause = new AbortController();
    state = { phase: 'pausing', pause };
    await sleep(limits.intervalMs, pause.signal);
  }

  /** True if more rows may be due already. */
  async function look(): Promise<boolean> {
    try {
      const count = deps.queueUnavailable() === undefined ? await handOver(deps) : 0;
      deps.onLook(undefined);
      failing = false;
      return count === limits.rowsMax;
    } catch (error) {
      // Only the first failure of a series is logged; metrics and answers show the others.
      if (!failing) log.warn({ event: 'checkout.relay_failed', code: codeOf(error), err: error });
      failing = true;
      deps.onLook(error);
      return false;
    }
  }

  function wake(): void {
    switch (state.phase) {
      case 'looking':
        state = { phase: 'woken' };
        break;
      case 'pausing':
        state.pause.abort();
        break;
      case 'new':
      case 'woken':
      case 'stopped':
        break;
    }
  }

  return {
    start() {
      loop = run();
    },
    wake,
    async stop() {
      wake();
      state = { phase: 'stopped' };
      await loop;
    },
  };
}

/** Hands over one batch and returns its number of rows. */
async function handOver({ store, queue, crash, onHandOver, limits }: RelayDeps): Promise<number> {
  const rows = await store.claimDue(limits.rowsMax, limits.requeueMs);
  if (rows.length === 0) return 0;
  crash('checkout.before-enqueue');
  const checkoutIds = rows.map(({ checkoutId }) => checkoutId);
  try {
    await queue.add(checkoutIds);
  } catch (error) {
    // Best effort: without it the rows are due again after CHECKOUT_REQUEUE_MS.
    await store.release(checkoutIds).catch(() => undefined);
    throw error;
  }
  onHandOver(rows.length, rows.filter(({ handOvers }) => handOvers > 1).length);
  return rows.length;
}
