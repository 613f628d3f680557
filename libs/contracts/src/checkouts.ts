/** The requests and answers of the gateway's checkout. */
import Type, { type Static } from 'typebox';
import { PaymentRequest } from './payments.ts';
import { Nullable } from './schema-parts.ts';

/** The customer's own key, header `Idempotency-Key`: 1–128 visible ASCII characters. */
export const customerKeyPattern = '^[\\x21-\\x7e]{1,128}$';
const customerKeyRegExp = new RegExp(customerKeyPattern);

/** Returns whether `text` is a valid customer key. */
export function isCustomerKey(text: string): boolean {
  return customerKeyRegExp.test(text);
}

/**
 * Body of `POST /v1/checkouts`: the fields that billing takes, and the customer's own reference.
 */
export const CheckoutRequest = Type.Object(
  {
    ...PaymentRequest.properties,
    reference: Type.Optional(
      Type.String({
        // No control characters: PostgreSQL refuses NUL, and logs are lines.
        pattern: '^[^\\x00-\\x1f\\x7f]{1,128}$',
        description: 'The customer’s own reference, returned unchanged. It must not contain card data.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type CheckoutRequest = Static<typeof CheckoutRequest>;

/** Body of the 202: the same bytes for every call with the same key. */
export const CheckoutAccepted = Type.Object({
  checkoutId: Type.String(),
  status: Type.Literal('accepted'),
  statusUrl: Type.String({ description: 'Path at the same host.' }),
});
export type CheckoutAccepted = Static<typeof CheckoutAccepted>;

/** `accepted` until billing has given a final answer; the other values are final. */
export const CheckoutStatus = Type.Union([
  Type.Literal('accepted'),
  Type.Literal('charged'),
  Type.Literal('declined'),
  Type.Literal('failed'),
]);
export type CheckoutStatus = Static<typeof CheckoutStatus>;

/** `GET /v1/checkouts/:id`, and the data of its events. */
export const CheckoutView = Type.Object({
  checkoutId: Type.String(),
  status: CheckoutStatus,
  transactionId: Type.String({ description: 'Transaction UUID of the payment at billing.' }),
  payer: Type.String(),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  reference: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String({ description: 'Why it was declined or failed.' })),
  createdAt: Type.String({ description: 'ISO 8601.' }),
  finalAt: Type.Optional(Type.String({ description: 'ISO 8601.' })),
});
export type CheckoutView = Static<typeof CheckoutView>;

/** Body of `GET /v1/checkouts`: the caller's own checkouts, newest first. */
export const CheckoutPage = Type.Object({ items: Type.Array(CheckoutView), next: Nullable(Type.String()) });
export type CheckoutPage = Static<typeof CheckoutPage>;
