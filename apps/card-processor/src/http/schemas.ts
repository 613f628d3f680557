/** Bodies of the processor's routes. Amounts are in minor units. */
import { Nullable } from '@thermomesh/contracts';
import Type, { type Static } from 'typebox';
import { faultNames } from '../core/faults.ts';

const strict = { additionalProperties: false };
const AmountMinor = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Currency = Type.String({ pattern: '^[A-Z]{3}$' });

/** The body of `POST /v1/charges`. */
export const ChargeBody = Type.Object(
  {
    amountMinor: AmountMinor,
    currency: Currency,
    paymentToken: Type.String({ minLength: 1, maxLength: 512 }),
  },
  strict,
);
/** The body of `POST /v1/refunds`; `charge` is the id of the charge. */
export const RefundBody = Type.Object(
  { amountMinor: AmountMinor, currency: Currency, charge: Type.String({ minLength: 1, maxLength: 64 }) },
  strict,
);

/** An entry as callers and verifiers see it. */
export const EntryDocument = Type.Object({
  key: Type.String(),
  kind: Type.Union([Type.Literal('charge'), Type.Literal('refund')]),
  id: Type.String(),
  charge: Type.Optional(Type.String()),
  status: Type.Union([Type.Literal('charged'), Type.Literal('refunded'), Type.Literal('declined')]),
  reason: Nullable(Type.String()),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  atMs: Type.Integer(),
});

const Fault = Type.Union(faultNames.map((name) => Type.Literal(name)));
const Rate = Type.Optional(Type.Number({ minimum: 0, maximum: 1 }));

/** The body of `PUT /v1/faults`. A missing field has its value of a plan without faults. */
export const FaultsBody = Type.Object(
  {
    next: Type.Optional(Type.Array(Fault, { maxItems: 100_000 })),
    rates: Type.Optional(
      Type.Object(
        Object.fromEntries(faultNames.map((name) => [name, Rate])) as Record<string, typeof Rate>,
        strict,
      ),
    ),
    delayMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
    idempotency: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type FaultsBody = Static<typeof FaultsBody>;

/** The header with the idempotency key. */
export const KeyHeader = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ maxLength: 200 })),
});
