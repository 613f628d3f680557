/** One checkout: what the gateway stores, and what the customer sees. */
import type { CheckoutAccepted, CheckoutRequest, CheckoutStatus, CheckoutView } from '@thermomesh/contracts';

/** The statuses that never change again. */
export type FinalStatus = Exclude<CheckoutStatus, 'accepted'>;

/** How a checkout ended. A declined or failed one has a `reason`, which never shows the token. */
export interface Final {
  status: FinalStatus;
  reason: string | null;
}

/** An order as it is stored, with its ids and the sealed token. */
export interface NewCheckout extends Omit<CheckoutRequest, 'paymentToken'> {
  checkoutId: string;
  caller: string;
  /** The Idempotency-Key, unique per caller. */
  customerKey: string;
  /** Fingerprint of the parameters, hex. */
  fingerprint: string;
  transactionId: string;
  tokenBox: Buffer;
}

/** The columns of one row that the customer may see. */
export interface Checkout {
  /** Position in lists, and their cursor. */
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

/** The document of a checkout: the same bytes for the same row at each request. */
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

/** The body of the 202: the same for every call with one key, also once the checkout is final. */
export function acceptedOf(checkoutId: string): CheckoutAccepted {
  return { checkoutId, status: 'accepted', statusUrl: statusUrlOf(checkoutId) };
}

/** The path of a checkout. */
export function statusUrlOf(checkoutId: string): string {
  return `/v1/checkouts/${checkoutId}`;
}
