/** An operation is a payment or a refund under one idempotency key. */
import type { Outcome, PaymentRecord } from '@thermomesh/idempotency';

/** The key of an operation; keys are unique per caller. */
export interface OperationKey {
  caller: string;
  /** UUID in lower case. */
  transactionId: string;
}

/** What a caller orders. Amounts are in minor units. */
export type Order =
  | { kind: 'charge'; payer: string; amountMinor: number; currency: string; paymentToken: string }
  | { kind: 'refund'; paymentId: string; amountMinor: number };

/** One row of the table `operations`. */
export interface Operation extends OperationKey {
  kind: 'charge' | 'refund';
  paymentId: string | null;
  /** For refunds: the processor's reference of the charge. */
  processorCharge: string | null;
  payer: string;
  amountMinor: number;
  currency: string;
  /** Hex; null after the operation was retired. */
  fingerprint: string | null;
  processorKey: string;
  tokenBox: Buffer | null;
  phase: PaymentRecord['phase'];
  attempt: number;
  outcome: Outcome | null;
  /** The stored answer; null while there is none, and after it was retired. */
  answerBody: string | null;
  /** Whether the lease had expired by the database's clock when the row was read. */
  leaseOver: boolean;
  retired: boolean;
}

/** Returns the durable part, as libs/idempotency sees it. */
export function recordOf({ phase, attempt, fingerprint, outcome }: Operation): PaymentRecord {
  return { phase, attempt, fingerprint: fingerprint ?? '', outcome };
}

/** Returns a text that is unique per key, for maps. Names of callers contain no slash. */
export function keyText({ caller, transactionId }: OperationKey): string {
  return `${caller}/${transactionId}`;
}
