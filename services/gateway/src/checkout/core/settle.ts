/**
 * Makes one attempt at one checkout: asks billing and stores the final answer. Any number of
 * attempts may run, also concurrently.
 */
import type { BillingClient } from '@thermomesh/billing-client';
import type { CrashHook, Log } from '@thermomesh/runtime';
import type { Final } from './checkout.ts';
import { finalOf, finalOfRefusal } from './outcome.ts';
import type { CheckoutStore, OpenCheckout } from './ports.ts';
import type { CheckoutSecrets } from './secrets.ts';

export interface SettleDeps {
  store: Pick<CheckoutStore, 'open' | 'finish'>;
  billing: Pick<BillingClient, 'pay'>;
  secrets: Pick<CheckoutSecrets, 'open'>;
  crash: CrashHook;
  log: Log;
  onFinal: (checkoutId: string, final: Final) => void;
}

/** `settled`: this attempt made the checkout final. `late`: it was final before. */
export type SettleResult = 'settled' | 'late';

/**
 * @throws the error that left the outcome unknown; the caller tries again, with the same
 *   transaction UUID (I3)
 */
export async function settle(deps: SettleDeps, checkoutId: string): Promise<SettleResult> {
  const checkout = await deps.store.open(checkoutId);
  if (checkout === undefined) return 'late';
  const final = await askBilling(deps, checkout);
  deps.crash('checkout.after-billing');
  if (!(await deps.store.finish(checkoutId, final))) {
    deps.log.info({ event: 'checkout.late_answer', checkoutId });
    return 'late';
  }
  deps.log.info({ event: 'checkout.final', checkoutId, status: final.status });
  deps.onFinal(checkoutId, final);
  return 'settled';
}

async function askBilling({ billing, secrets }: SettleDeps, checkout: OpenCheckout): Promise<Final> {
  const { checkoutId, transactionId, payer, amountMinor, currency, tokenBox } = checkout;
  const paymentToken = secrets.open(checkoutId, tokenBox);
  try {
    return finalOf(await billing.pay(transactionId, { payer, amountMinor, currency, paymentToken }));
  } catch (error) {
    const final = finalOfRefusal(error);
    if (final === undefined) throw error;
    return final;
  }
}
