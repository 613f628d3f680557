/** Derives the sealed payment token and the fingerprint of an order; neither shows the token. */
import type { CheckoutRequest } from '@thermomesh/contracts';
import { createFingerprinter, createSealer } from '@thermomesh/runtime';
import { checkoutError } from './errors.ts';

/** Secrets of orders, derived from CHECKOUT_SECRET. */
export interface CheckoutSecrets {
  /** Equal for equal parameters, hex. */
  fingerprint(request: CheckoutRequest): string;
  /** Binds the token to its checkout: a box that is moved to another row does not open. */
  seal(checkoutId: string, paymentToken: string): Buffer;
  /** @throws MeshError `checkout.token_unreadable` */
  open(checkoutId: string, box: Buffer): string;
}

/** Derives the keys from `secret`. */
export function createCheckoutSecrets(secret: string): CheckoutSecrets {
  const fingerprint = createFingerprinter(secret, 'thermomesh.checkout.fingerprint');
  const sealer = createSealer(secret, 'thermomesh.checkout.token');
  return {
    fingerprint: ({ payer, amountMinor, currency, paymentToken, reference }) =>
      fingerprint([payer, amountMinor, currency, paymentToken, reference ?? null]),
    seal: (checkoutId, paymentToken) => sealer.seal(checkoutId, paymentToken),
    open(checkoutId, box) {
      try {
        return sealer.open(checkoutId, box);
      } catch (error) {
        throw checkoutError(
          'checkout.token_unreadable',
          'the stored payment token does not open: CHECKOUT_SECRET is not the one it was sealed with',
          { cause: error },
        );
      }
    },
  };
}
