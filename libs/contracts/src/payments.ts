/** Requests, answers and limits of billing. Amounts are in minor units (cents). */
import Type, { type Static } from 'typebox';
import { Nullable } from './schema-parts.ts';

/**
 * Largest amount of one payment, in minor units. Sums of 9,000 of them are still exact as numbers.
 */
export const amountMinorMax = 1_000_000_000_000;

/**
 * Active currencies of ISO 4217, as of November 2026 (funds, metals, test codes and second codes of
 * one currency left out). A test compares them with the package `currency-codes`.
 */
export const currencies: readonly string[] = (
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC ' +
  'CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ' +
  'ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK ' +
  'MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE ' +
  'SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ' +
  'ZAR ZMW ZWG'
).split(' ');

/** A UUID as RFC 9562 writes it, in either case. */
export const transactionIdPattern =
  '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$';
const transactionIdRegExp = new RegExp(transactionIdPattern);

/** Returns the transaction id in lower case; undefined if `text` is not a UUID. */
export function parseTransactionId(text: string): string | undefined {
  return transactionIdRegExp.test(text) ? text.toLowerCase() : undefined;
}

const AmountMinor = Type.Integer({
  minimum: 1,
  maximum: amountMinorMax,
  description: 'Amount in minor units.',
});
const Currency = Type.String({ enum: [...currencies], description: 'Currency code of ISO 4217.' });

/** Body of `POST /v1/payments`; the transaction UUID is the header `Idempotency-Key`. */
export const PaymentRequest = Type.Object(
  {
    payer: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.@:-]{0,127}$' }),
    amountMinor: AmountMinor,
    currency: Currency,
    paymentToken: Type.String({
      pattern: '^[\\x21-\\x7e]{1,512}$',
      description: 'The card processor’s token of the card. Never logged, never stored in clear text.',
    }),
  },
  { additionalProperties: false },
);
export type PaymentRequest = Static<typeof PaymentRequest>;

/** Body of `POST /v1/payments/:id/refunds`. */
export const RefundRequest = Type.Object({ amountMinor: AmountMinor }, { additionalProperties: false });
export type RefundRequest = Static<typeof RefundRequest>;

/** The final answer to a payment: stored once, replayed byte for byte (I3). */
export const PaymentDocument = Type.Object({
  transactionId: Type.String(),
  status: Type.Union([Type.Literal('charged'), Type.Literal('declined')]),
  payer: Type.String(),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  processorReference: Nullable(Type.String()),
  reason: Nullable(Type.String({ description: 'Why it was declined.' })),
  answeredAt: Type.String(),
});
export type PaymentDocument = Static<typeof PaymentDocument>;

/** The final answer to a refund. */
export const RefundDocument = Type.Object({
  transactionId: Type.String(),
  paymentId: Type.String(),
  status: Type.Union([Type.Literal('refunded'), Type.Literal('declined')]),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  processorReference: Nullable(Type.String()),
  reason: Nullable(Type.String()),
  answeredAt: Type.String(),
});
export type RefundDocument = Static<typeof RefundDocument>;

/** Body of `GET /v1/payments/:transactionId`: the present state of a payment. */
export const PaymentView = Type.Object({
  transactionId: Type.String(),
  status: Type.Union([Type.Literal('pending'), Type.Literal('charged'), Type.Literal('declined')]),
  payer: Type.String(),
  amountMinor: Type.Integer(),
  currency: Type.String(),
  processorReference: Nullable(Type.String()),
  reason: Nullable(Type.String()),
  refundedMinor: Type.Integer({ minimum: 0, description: 'Sum of the refunds that the processor has made.' }),
  attempt: Type.Integer({
    minimum: 1,
    description: 'Number of workers that held the payment; 1 unless one died.',
  }),
  createdAtMs: Type.Integer(),
  answeredAtMs: Nullable(Type.Integer()),
});
export type PaymentView = Static<typeof PaymentView>;

/** Body of `GET /v1/payments`: payments, newest first. */
export const PaymentPage = Type.Object({ items: Type.Array(PaymentView), next: Nullable(Type.String()) });
export type PaymentPage = Static<typeof PaymentPage>;
