/** One order of a customer, and what the customer has seen of it. */
import type { CheckoutStatus } from '@thermomesh/contracts';

export type FinalStatus = Exclude<CheckoutStatus, 'accepted'>;

/** A final answer as a customer has read it. */
export interface FinalAnswer {
  status: FinalStatus;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
}

/** One order: what its customer sends under one key, and what the customer has seen. */
export interface Order {
  /** The customer's `Idempotency-Key`. */
  key: string;
  payer: string;
  amountMinor: number;
  currency: string;
  paymentToken: string;
  /** Number of requests of its customer, at once and one after the other. */
  requests: number;
  /** Number of these requests that got their 202. */
  acknowledged: number;
  /** The checkouts that the 202s named: exactly one if the promise is kept. */
  checkoutIds: Set<string>;
  /** The different final answers that were read, by their text. */
  finals: Map<string, FinalAnswer>;
  /** Why a request was refused permanently; undefined if none was. */
  refused: string | undefined;
}
