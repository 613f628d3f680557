/** What the customers of a run order, and what they have seen of it: the runner's own ledger, no service's word. */
import { randomUUID } from 'node:crypto';
import type { CheckoutStatus, CheckoutView } from '@thermomesh/contracts';
import { seeded } from './seeded.ts';

export type FinalStatus = Exclude<CheckoutStatus, 'accepted'>;

/** A final answer as a customer has read it. */
export interface FinalAnswer {
  status: FinalStatus;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
}

/** One order: what its customer sends under one key, and has seen. */
export interface Order {
  /** The customer's `Idempotency-Key`. */
  key: string;
  payer: string;
  amountMinor: number;
  currency: string;
  paymentToken: string;
  /** How many requests its customer makes, at once and one after the other. */
  requests: number;
  /** Of them, how many have got their 202. */
  acknowledged: number;
  /** The different checkouts that the 202s named: one, if the promise is kept. */
  checkoutIds: Set<string>;
  /** The different final answers that were read, by their text. */
  finals: Map<string, FinalAnswer>;
  /** Why a request was refused for good; undefined if none was. */
  refused: string | undefined;
}

export interface OrderPlan {
  /** Begins every payer of this run, and nobody else's. */
  payerPrefix: string;
  orders: Order[];
  /** Every amount of this run is another one, so that a charge can be told without asking any service. */
  amounts: { min: number; max: number };
}

const amountMinMax = 500_000_000;

/** `uuids` orders with `requests` requests in all. Amounts come from the seed; keys are new each time. */
export function planOrders(seed: number, uuids: number, requests: number): OrderPlan {
  const runId = randomUUID().slice(0, 8);
  const payerPrefix = `run-${runId}:`;
  const min = seeded(seed).whole(100, amountMinMax);
  const each = Math.floor(requests / uuids);
  const orders = Array.from({ length: uuids }, (_, index) => ({
    key: randomUUID(),
    payer: `${payerPrefix}${index}`,
    amountMinor: min + index,
    currency: 'EUR',
    paymentToken: `tok_${runId}_${index}`,
    requests: each + (index < requests % uuids ? 1 : 0),
    acknowledged: 0,
    checkoutIds: new Set<string>(),
    finals: new Map<string, FinalAnswer>(),
    refused: undefined,
  }));
  return { payerPrefix, orders, amounts: { min, max: min + uuids - 1 } };
}

/** Takes down what a customer has read; true if it is final. */
export function noteAnswer(order: Order, view: CheckoutView): boolean {
  const { status, transactionId, payer, amountMinor, currency } = view;
  if (status === 'accepted') return false;
  order.finals.set(JSON.stringify(view), { status, transactionId, payer, amountMinor, currency });
  return true;
}
