/** The ports of the checkout's core; adapters implement them. */
import type { CheckoutStatus } from '@thermomesh/contracts';
import type { BackoffLimits, Log } from '@thermomesh/runtime';
import type { Checkout, Final, NewCheckout } from './checkout.ts';
import type { CheckoutErrorCode } from './errors.ts';

/** The data with which a worker calls billing. */
export interface OpenCheckout {
  checkoutId: string;
  transactionId: string;
  payer: string;
  amountMinor: number;
  currency: string;
  tokenBox: Buffer;
}

/** The order that is stored after a call of `accept`: the given one, or an earlier one. */
export interface Accepted {
  checkoutId: string;
  /** Fingerprint of the stored order, hex. */
  fingerprint: string;
  /** True if this call stored the order. */
  created: boolean;
}

/** Which checkouts a list contains. */
export interface CheckoutFilter {
  caller: string;
  limit: number;
  /** Only rows with a lower id. */
  beforeId?: number;
  status?: CheckoutStatus;
}

/** The truth about checkouts, in PostgreSQL. Each method is one statement. */
export interface CheckoutStore {
  /** Stores order and outbox row together. Of all calls with one customer key, one creates. */
  accept(order: NewCheckout): Promise<Accepted>;
  /**
   * Marks due outbox rows as handed over; they are due again after `requeueMs`. `handOvers` counts
   * how often a row was handed over, this time included.
   */
  claimDue(rowsMax: number, requeueMs: number): Promise<{ checkoutId: string; handOvers: number }[]>;
  /** Makes rows due at once, after a hand-over that failed. */
  release(checkoutIds: readonly string[]): Promise<void>;
  /** Undefined if the checkout is final or unknown. */
  open(checkoutId: string): Promise<OpenCheckout | undefined>;
  /** False if the checkout was final before; it does not change then. */
  finish(checkoutId: string, final: Final): Promise<boolean>;
  /** Undefined if the checkout is unknown or belongs to another caller. */
  find(caller: string, checkoutId: string): Promise<Checkout | undefined>;
  /** The newest checkouts first. */
  list(filter: CheckoutFilter): Promise<Checkout[]>;
  /** The checkouts among `checkoutIds` that are final. */
  finals(checkoutIds: readonly string[]): Promise<Checkout[]>;
  /** Number of outbox rows, and the age of the oldest one. */
  outbox(): Promise<{ depth: number; oldestAgeMs: number }>;
}

/** The queue in which work waits. It may forget anything at any time. */
export interface CheckoutQueue {
  /** Adds the checkouts that are not in the queue. */
  add(checkoutIds: readonly string[]): Promise<void>;
}

/** Why the checkout cannot take orders now. */
export interface Unavailable {
  code: Extract<CheckoutErrorCode, 'checkout.redis_down' | 'checkout.redis_unsafe' | 'checkout.stopping'>;
  detail: string;
}

/** The queue and the worker that takes from it. */
export interface WorkQueue extends CheckoutQueue {
  start(): void;
  /** Takes no more work, waits until the deadline for work under way, then closes. */
  stop(deadlineMs: number): Promise<void>;
  /** Why the queue cannot take work now; undefined if it can. */
  unavailable(): Unavailable | undefined;
}

/** What a {@link WorkQueue} needs. */
export interface WorkQueueOptions {
  url: string;
  /** Name of the queue; gateways that share it take each other's jobs. */
  name: string;
  concurrency: number;
  lockMs: number;
  stalledIntervalMs: number;
  /** Interval of the checks of Redis, and the time limit of one check. */
  checkMs: number;
  backoff: BackoffLimits;
  /** Makes one attempt; after a rejection the queue pauses and tries again. */
  work: (checkoutId: string) => Promise<unknown>;
  /** Called each time that Redis becomes usable. */
  onReady: () => void;
  log: Log;
}
