/**
 * Waits for checkouts to become final, at whichever gateway. One query per poll serves all event
 * streams.
 */
import { createPollingWatch, type PollingWatch } from '@thermomesh/runtime';
import type { Checkout } from './core/checkout.ts';
import type { CheckoutStore } from './core/ports.ts';

/** Waits for a checkout by its id. */
export type FinalWatch = PollingWatch<string, Checkout>;

/**
 * @param onError receives the error of a failed poll; the next poll follows after the same pause
 */
export function createFinalWatch(
  store: Pick<CheckoutStore, 'finals'>,
  pollMs: number,
  onError: (error: unknown) => void,
): FinalWatch {
  return createPollingWatch({
    pollMs,
    keyText: (checkoutId: string) => checkoutId,
    find: (checkoutIds) => store.finals(checkoutIds),
    foundText: ({ checkoutId }: Checkout) => checkoutId,
    onError,
  });
}
