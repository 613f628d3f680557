/** What the gateway knows of one checkout, and how the customer sees it. */
import type { CheckoutAccepted, CheckoutRequest, CheckoutStatus, CheckoutView } from '@thermomesh/contracts';

export type FinalStatus = Exclude<CheckoutStatus, 'accepted'>;

/** How a checkout ended. `reason` of what was declined or failed; never anything of the payment token. */
export interface Final {
  status: FinalStatus;
  reason: string | null;
}

/** An order as it is stored: with ids of its own, its token sealed. */
export interface NewCheckout extends Omit<CheckoutRequest, 'paymentToken'> {
  checkoutId: string;
  /** Keys are unique per caller. */
  caller: string;
  customerKey: string;
  /** Hex. */
  fingerprint: string;
  transactionId: string;
  tokenBox: Buffer;
}

/** One row, as the customer may see it. */
export interface Checkout {
  /** The cursor of lists. */
  id: number;
  checkoutId: string;
  status: CheckoutStatus;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
  reference: string | null;
  reason: string | null;
  createdAtMs: number;
  finalAtMs: number | null;
}

/** The same bytes for the same row, whoever asks and whenever. */
export function viewOf(checkout: Checkout): CheckoutView {
  const { checkoutId, status, transactionId, payer, amountMinor, currency } = checkout;
  return {
    checkoutId,
    status,
    transactionId,
    payer,
    amountMinor,
    currency,
    ...(checkout.reference === null ? {} : { reference: checkout.reference }),
    ...(checkout.reason === null ? {} : { reason: checkout.reason }),
    createdAt: new Date(checkout.createdAtMs).toISOString(),
    ...(checkout.finalAtMs === null ? {} : { finalAt: new Date(checkout.finalAtMs).toISOString() }),
  };
}

/** The 202: the same for every call with one key, also once the checkout is final. */
export function acceptedOf(checkoutId: string): CheckoutAccepted {
  return { checkoutId, status: 'accepted', statusUrl: statusUrlOf(checkoutId) };
}

export function statusUrlOf(checkoutId: string): string {
  return `/v1/checkouts/${checkoutId}`;
}
