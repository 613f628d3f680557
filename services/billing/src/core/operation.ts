/** What billing knows of one operation: a payment or a refund under one idempotency key. */
import type { Outcome, PaymentRecord } from '@thermomesh/idempotency';

/** Keys are unique per caller. */
export interface OperationKey {
  caller: string;
  /** UUID in lower case. */
  transactionId: string;
}

/** What a caller asks for; amounts in minor units. */
export type Order =
  | { kind: 'charge'; payer: string; amountMinor: number; currency: string; paymentToken: string }
  | { kind: 'refund'; paymentId: string; amountMinor: number };

/** One row of `operations`, as the worker needs it. */
export interface Operation extends OperationKey {
  kind: 'charge' | 'refund';
  paymentId: string | null;
  /** Refunds: what the processor knows the charge by. */
  processorCharge: string | null;
  payer: string;
  amountMinor: number;
  currency: string;
  /** Hex; null once retired. */
  fingerprint: string | null;
  processorKey: string;
  tokenBox: Buffer | null;
  phase: PaymentRecord['phase'];
  attempt: number;
  outcome: Outcome | null;
  /** The stored answer; null while there is none, and once retired. */
  answerBody: string | null;
  /** By the database's clock, when the row was read. */
  leaseOver: boolean;
  retired: boolean;
}

/** The durable part, as the pure core sees it. */
export function recordOf({ phase, attempt, fingerprint, outcome }: Operation): PaymentRecord {
  return { phase, attempt, fingerprint: fingerprint ?? '', outcome };
}

/** One text per key, for maps. Callers' names hold no slash. */
export function keyText({ caller, transactionId }: OperationKey): string {
  return `${caller}/${transactionId}`;
}
