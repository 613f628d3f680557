/** What the checkout's core asks of the world; adapters answer. */
import type { CheckoutStatus } from '@thermomesh/contracts';
import type { Checkout, Final, NewCheckout } from './checkout.ts';

/** What a worker needs to call billing. */
export interface OpenCheckout {
  checkoutId: string;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
  tokenBox: Buffer;
}

/** What an INSERT has made or met. */
export interface Accepted {
  checkoutId: string;
  /** Of the order that is stored, hex. */
  fingerprint: string;
  created: boolean;
}

export interface CheckoutFilter {
  caller: string;
  limit: number;
  /** Rows older than this id. */
  beforeId?: number;
  status?: CheckoutStatus;
}

/** The truth about checkouts: PostgreSQL. Each method is one statement. */
export interface CheckoutStore {
  /** Order and outbox row together; of any number of calls with one key, one creates. */
  accept(order: NewCheckout): Promise<Accepted>;
  /** Marks due outbox rows as handed over until `requeueMs` from now; how often each was, this one included. */
  claimDue(rowsMax: number, requeueMs: number): Promise<{ checkoutId: string; handOvers: number }[]>;
  /** Makes rows due again at once, after a hand-over that failed. */
  giveBack(checkoutIds: readonly string[]): Promise<void>;
  /** Undefined if it is final, or unknown. */
  open(checkoutId: string): Promise<OpenCheckout | undefined>;
  /** False: it was final already, and nothing has changed. */
  finish(checkoutId: string, final: Final): Promise<boolean>;
  /** Undefined if it is unknown, or another caller's. */
  find(caller: string, checkoutId: string): Promise<Checkout | undefined>;
  /** Newest first. */
  list(filter: CheckoutFilter): Promise<Checkout[]>;
  /** Those of `checkoutIds` that are final. */
  finals(checkoutIds: readonly string[]): Promise<Checkout[]>;
  outbox(): Promise<{ depth: number; oldestAgeMs: number }>;
}

/** Where work waits; it may forget anything at any time. */
export interface CheckoutQueue {
  /** Adds those that do not wait already. */
  add(checkoutIds: readonly string[]): Promise<void>;
}

/** Why something cannot be had now. */
export interface Unavailable {
  code: string;
  detail: string;
}
