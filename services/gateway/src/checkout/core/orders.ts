/** Takes orders: checks that they can be promised, and stores each once under the customer's key (I3, I5). */
import { randomUUID } from 'node:crypto';
import type { CheckoutRequest } from '@thermomesh/contracts';
import type { CrashHook } from '@thermomesh/runtime';
import type { CheckoutStore } from './ports.ts';
import type { CheckoutSecrets } from './secrets.ts';

/** `other_parameters`: the key was used for another order. */
export type OrderResult =
  { type: 'accepted'; checkoutId: string; replayed: boolean } | { type: 'other_parameters' };

export interface Orders {
  /** @param caller whose key it is */
  take(caller: string, customerKey: string, request: CheckoutRequest): Promise<OrderResult>;
}

export interface OrdersDeps {
  store: Pick<CheckoutStore, 'accept'>;
  secrets: CheckoutSecrets;
  crash: CrashHook;
  /** Told of each 202: the first of a checkout is new work. */
  onAccepted: (replayed: boolean) => void;
}

export function createOrders({ store, secrets, crash, onAccepted }: OrdersDeps): Orders {
  return {
    async take(caller, customerKey, request) {
      const { paymentToken, ...order } = request;
      const checkoutId = randomUUID();
      const fingerprint = secrets.fingerprint(request);
      const accepted = await store.accept({
        ...order,
        checkoutId,
        caller,
        customerKey,
        fingerprint,
        // Stored with the order: whoever works on it, after whatever crash, asks billing for the same payment.
        transactionId: randomUUID(),
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
