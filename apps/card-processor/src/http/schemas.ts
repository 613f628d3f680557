/** Bodies of the processor's routes. Amounts in minor units. */
import Type, { type Static } from 'typebox';
import { faultNames } from '../core/faults.ts';

const strict = { additionalProperties: false };
const AmountMinor = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Currency = Type.String({ pattern: '^[A-Z]{3}$' });
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const ChargeBody = Type.Object(
  {
    amountMinor: AmountMinor,
    currency: Currency,
    paymentToken: Type.String({ minLength: 1, maxLength: 512 }),
  },
  strict,
);
export const RefundBody = Type.Object(
  { amountMinor: AmountMinor, currency: Currency, charge: Type.String({ minLength: 1, maxLength: 64 }) },
  strict,
);

/** What callers and verifiers see of an entry. */
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

/** What `PUT /v1/faults` takes; what is left out is as without faults. */
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

export const KeyHeader = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ maxLength: 200 })),
});
