/** Event streams that wait for checkouts to become final, at whichever gateway: one query per look for all of them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Checkout } from './checkout.ts';
import type { CheckoutStore } from './ports.ts';

export interface FinalWatch {
  /** Resolves when the checkout is final; undefined when `signal` is aborted first. */
  wait(checkoutId: string, signal: AbortSignal): Promise<Checkout | undefined>;
  /** A checkout has become final here: look now. */
  wake(checkoutId: string): void;
  /** Checkouts that somebody waits for. */
  readonly size: number;
}

type Settle = (checkout: Checkout | undefined) => void;

/** @param onError what a look failed with; the next one comes after the same pause */
export function createFinalWatch(
  store: Pick<CheckoutStore, 'finals'>,
  pollMs: number,
  onError: (error: unknown) => void,
): FinalWatch {
  const waiters = new Map<string, Set<Settle>>();
  let looking = false;
  let nap = new AbortController();

  async function look(): Promise<void> {
    looking = true;
    while (waiters.size > 0) {
      try {
        for (const checkout of await store.finals([...waiters.keys()]))
          for (const settle of waiters.get(checkout.checkoutId) ?? []) settle(checkout);
      } catch (error) {
        onError(error);
      }
      nap = new AbortController();
      await delay(pollMs, undefined, { signal: nap.signal }).catch(() => undefined);
    }
    looking = false;
  }

  return {
    get size() {
      return waiters.size;
    },
    wake(checkoutId) {
      if (waiters.has(checkoutId)) nap.abort();
    },
    async wait(checkoutId, signal) {
      const set = waiters.get(checkoutId) ?? new Set<Settle>();
      waiters.set(checkoutId, set);
      let settle: Settle = () => undefined;
      const onAbort = () => settle(undefined);
      try {
        return await new Promise<Checkout | undefined>((resolve) => {
          settle = resolve;
          set.add(settle);
          if (signal.aborted) return resolve(undefined);
          signal.addEventListener('abort', onAbort, { once: true });
          if (!looking) void look();
        });
      } finally {
        signal.removeEventListener('abort', onAbort);
        set.delete(settle);
        if (set.size === 0 && waiters.get(checkoutId) === set) waiters.delete(checkoutId);
      }
    },
  };
}
