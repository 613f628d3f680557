/**
 * The orders of a run and what their customers have seen: the runner's own ledger, independent of
 * every service.
 */
import { randomUUID } from 'node:crypto';
import type { CheckoutView } from '@thermomesh/contracts';
import type { FinalAnswer, Order } from '../../mesh/evidence/order.ts';
import { seeded } from '../../seeded.ts';

export type { FinalAnswer, FinalStatus, Order } from '../../mesh/evidence/order.ts';

export interface OrderPlan {
  /** Prefix of every payer of this run, and of no other one. */
  payerPrefix: string;
  orders: Order[];
  /** Each order has its own amount, so that a charge can be recognised without asking a service. */
  amounts: { min: number; max: number };
}

const amountMinMax = 500_000_000;

/**
 * Plans `uuids` orders with `requests` requests in all. Amounts come from the seed; keys are always
 * new.
 */
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

/** Records what a customer has read; returns true if it is final. */
export function noteAnswer(order: Order, view: CheckoutView): boolean {
  const { status, transactionId, payer, amountMinor, currency } = view;
  if (status === 'accepted') return false;
  order.finals.set(JSON.stringify(view), { status, transactionId, payer, amountMinor, currency });
  return true;
}
