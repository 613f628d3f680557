/**
 * Takes orders: checks that they can be kept, and stores each once under the customer's key (I3,
 * I5).
 */
import type { CheckoutRequest } from '@thermomesh/contracts';
import type { CrashHook } from '@thermomesh/runtime';
import type { CheckoutStore } from './ports.ts';
import type { CheckoutSecrets } from './secrets.ts';

/** `other_parameters`: the key was used for another order. */
export type OrderResult =
  { type: 'accepted'; checkoutId: string; replayed: boolean } | { type: 'other_parameters' };

/** Takes orders. */
export interface Orders {
  /** @param caller the customer to whom `customerKey` belongs */
  take(caller: string, customerKey: string, request: CheckoutRequest): Promise<OrderResult>;
}

export interface OrdersDeps {
  store: Pick<CheckoutStore, 'accept'>;
  secrets: CheckoutSecrets;
  crash: CrashHook;
  /** Makes a random UUID. */
  newId: () => string;
  /**
   * Called for each 202; only the first one of a checkout, which is not `replayed`, is new work.
   */
  onAccepted: (replayed: boolean) => void;
}

/** Takes orders into `store`. */
export function createOrders({ store, secrets, crash, newId, onAccepted }: OrdersDeps): Orders {
  return {
    async take(caller, customerKey, request) {
      const { paymentToken, ...order } = request;
      const checkoutId = newId();
      const fingerprint = secrets.fingerprint(request);
      const accepted = await store.accept({
        ...order,
        checkoutId,
        caller,
        customerKey,
        fingerprint,
        // Stored with the order, so that every worker asks billing for the same payment, also after
        // a crash.
        transactionId: newId(),
        tokenBox: secrets.seal(checkoutId, paymentToken),
      });
      const replayed = !accepted.created;
      if (replayed && accepted.fingerprint !== fingerprint) return { type: 'other_parameters' };
      if (!replayed) crash('checkout.after-accept');
      onAccepted(replayed);
      return { type: 'accepted', checkoutId: accepted.checkoutId, replayed };
    },
  };
}
