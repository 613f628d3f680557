/** What customers send to the gateway's checkout and get back. */
import Type, { type Static } from 'typebox';
import { PaymentRequest } from './payments.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** The customer's own key, header `Idempotency-Key`: 1–128 visible ASCII characters. */
export const customerKeyPattern = '^[\\x21-\\x7e]{1,128}$';
const customerKeyRegExp = new RegExp(customerKeyPattern);

/** True if `text` can be a customer's key. */
export function isCustomerKey(text: string): boolean {
  return customerKeyRegExp.test(text);
}

/** Body of `POST /v1/checkouts`: what billing takes, and the customer's own reference. */
export const CheckoutRequest = Type.Object(
  {
    ...PaymentRequest.properties,
    reference: Type.Optional(
      Type.String({
        // No control characters: PostgreSQL refuses NUL, and logs are lines.
        pattern: '^[^\\x00-\\x1f\\x7f]{1,128}$',
        description: 'the customer’s own, given back as it came; no card data here',
      }),
    ),
  },
  { additionalProperties: false },
);
export type CheckoutRequest = Static<typeof CheckoutRequest>;

/** The 202: the same bytes for every call with the same key. */
export const CheckoutAccepted = Type.Object({
  checkoutId: Type.String(),
  status: Type.Literal('accepted'),
  statusUrl: Type.String({ description: 'path at the same host' }),
});
export type CheckoutAccepted = Static<typeof CheckoutAccepted>;

/** `accepted` until billing has answered for good; the others are final and never change. */
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
  transactionId: Type.String({ description: 'what billing knows the payment by' }),
  payer: Type.String(),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  reference: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String({ description: 'why it was declined or failed' })),
  createdAt: Type.String({ description: 'ISO 8601' }),
  finalAt: Type.Optional(Type.String({ description: 'ISO 8601' })),
});
export type CheckoutView = Static<typeof CheckoutView>;

/** `GET /v1/checkouts`: the caller's own, newest first. */
export const CheckoutPage = Type.Object({ items: Type.Array(CheckoutView), next: Nullable(Type.String()) });
export type CheckoutPage = Static<typeof CheckoutPage>;
