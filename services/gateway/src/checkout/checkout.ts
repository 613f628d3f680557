/**
 * Composes the checkout: orders, outbox, relay, queue, billing. It may be unavailable while the
 * rest of the gateway works.
 */
import { createBillingClient } from '@thermomesh/billing-client';
import { findBilling, type BillingFinder } from '@thermomesh/billing-client/discovery';
import {
  codeOf,
  deriveToken,
  isRetriable,
  subjects,
  withRequestId,
  type CrashHook,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { randomUUID } from 'node:crypto';
import { createCheckoutStore } from './adapters/pg-checkout-store.ts';
import { createOrders, type Orders } from './core/orders.ts';
import type { CheckoutStore, Unavailable, WorkQueue } from './core/ports.ts';
import { createCheckoutSecrets } from './core/secrets.ts';
import { settle, type SettleDeps } from './core/settle.ts';
import { createEventStreams, type EventStreams } from './event-streams.ts';
import { createFinalWatch } from './final-watch.ts';
import { createLazyQueue } from './lazy-queue.ts';
import { createCheckoutMetrics, type CheckoutMetrics } from './metrics.ts';
import { createRelay, type Relay, type RelayDeps } from './relay.ts';
import type { BillingOptions, CheckoutOptions } from './settings.ts';

/** The part of the checkout that the routes use. */
export interface Checkout {
  orders: Orders;
  store: Pick<CheckoutStore, 'find' | 'list'>;
  streams: EventStreams;
  /** Why no order can be taken now; undefined if one can. */
  unavailable(): Unavailable | undefined;
  retryAfterSeconds: number;
}

/** The checkout with its lifecycle. */
export interface CheckoutService extends Checkout {
  /** Never fails: what cannot be reached yet is tried again. */
  start(): void;
  /** Takes no more orders and streams, then waits for work under way until the deadline. */
  stop(deadlineMs: number): Promise<void>;
  /** Closes the connections; called after the last request has been answered. */
  close(): Promise<void>;
}

export interface CheckoutDeps {
  log: Log;
  metrics: Metrics;
  /** Secret of the mesh, from which the gateway's token at billing is derived. */
  secret: string;
  crash: CrashHook;
}

const stoppingNow: Unavailable = { code: 'checkout.stopping', detail: 'this gateway is stopping' };

/** Composes the checkout; nothing connects before `start`. */
export function createCheckout(options: CheckoutOptions, deps: CheckoutDeps): CheckoutService {
  const { log, crash } = deps;
  const pool = openPool(options.sql);
  const store = createCheckoutStore(pool);
  const secrets = createCheckoutSecrets(options.secret);
  const finder = openFinder(options.billing, log, deps.secret);
  let databaseError: unknown;
  let phase: 'open' | 'stopping' = 'open';
  const unavailable = () => unavailableIn(phase, queue);
  const metrics = createCheckoutMetrics(deps.metrics, {
    available: () => unavailable() === undefined && databaseError === undefined,
    streams: () => streams.size,
    outbox: () => store.outbox(),
  });
  const watch = createFinalWatch(store, options.streams.watchIntervalMs, (error) =>
    metrics.watchFailed.inc({ code: codeOf(error) ?? 'unknown' }),
  );
  const streams = createEventStreams({ watch, ...options.streams });
  const settling: SettleDeps = {
    store,
    billing: openBilling(options.billing, deps.secret, finder),
    secrets,
    crash,
    log,
    onFinal(checkoutId, { status }) {
      metrics.final.inc({ status });
      watch.wake(checkoutId);
    },
  };
  const queue = createLazyQueue({
    ...options.queue,
    work: (checkoutId) => attempt(settling, metrics, checkoutId),
    onReady: () => relay.wake(),
    log,
  });
  const relay = composeRelay(metrics, {
    store,
    queue,
    queueUnavailable: () => queue.unavailable(),
    crash,
    log,
    onLook(error) {
      databaseError = error;
    },
    limits: options.relay,
  });
  return {
    orders: composeOrders(store, secrets, crash, (replayed) => {
      metrics.accepted.inc({ replayed: String(replayed) });
      if (!replayed) relay.wake();
    }),
    store,
    streams,
    unavailable,
    retryAfterSeconds: options.retryAfterSeconds,
    start() {
      finder?.start();
      queue.start();
      relay.start();
    },
    async stop(deadlineMs) {
      phase = 'stopping';
      streams.close();
      await relay.stop();
      await queue.stop(deadlineMs);
    },
    close: async () => void (await Promise.all([pool.close(), finder?.stop()])),
  };
}

/** Why no order can be taken in this phase; undefined if one can. */
function unavailableIn(phase: 'open' | 'stopping', queue: WorkQueue): Unavailable | undefined {
  switch (phase) {
    case 'open':
      return queue.unavailable();
    case 'stopping':
      return stoppingNow;
  }
}

function composeOrders(
  store: CheckoutStore,
  secrets: ReturnType<typeof createCheckoutSecrets>,
  crash: CrashHook,
  onAccepted: (replayed: boolean) => void,
): Orders {
  return createOrders({ store, secrets, crash, newId: randomUUID, onAccepted });
}

function openPool({ url, connectionsMax, timeoutMs }: CheckoutOptions['sql']): SqlPool {
  return createPool({
    url,
    applicationName: 'thermomesh-checkout',
    connectionsMax,
    connectTimeoutMs: timeoutMs,
    statementTimeoutMs: timeoutMs,
    durable: true,
  });
}

/** Undefined without ZooKeeper: only the static replicas are used. */
function openFinder(
  { discovery, staticUrls }: BillingOptions,
  log: Log,
  secret: string,
): BillingFinder | undefined {
  if (discovery === undefined) return undefined;
  return findBilling({
    ...discovery,
    secret,
    staticUrls,
    onChanged: (urls) => log.info({ event: 'checkout.billing_found', urls }),
    onError: (err) => log.warn({ event: 'checkout.discovery_failed', err }),
  });
}

function openBilling(
  { staticUrls, callTimeoutMs, tryTimeoutMs }: BillingOptions,
  secret: string,
  finder: BillingFinder | undefined,
): SettleDeps['billing'] {
  const client = createBillingClient({
    urls: finder?.urls ?? staticUrls,
    token: deriveToken(secret, subjects.service('gateway')),
    deadlineMs: callTimeoutMs,
    tryTimeoutMs,
  });
  // The worker has no request: the logs of billing and of the processor name the transaction.
  return {
    pay: (transactionId, order) => withRequestId(transactionId, () => client.pay(transactionId, order)),
  };
}

function composeRelay(metrics: CheckoutMetrics, deps: Omit<RelayDeps, 'onHandOver'>): Relay {
  return createRelay({
    ...deps,
    onHandOver(count, again) {
      metrics.handOvers.inc({ again: 'false' }, count - again);
      metrics.handOvers.inc({ again: 'true' }, again);
      if (again > 0) deps.log.info({ event: 'checkout.handed_over_again', count: again });
    },
  });
}

/**
 * Makes one attempt at one checkout, and counts and logs its failure.
 * @throws the error that left the outcome unknown
 */
async function attempt(deps: SettleDeps, metrics: CheckoutMetrics, checkoutId: string): Promise<void> {
  try {
    await settle(deps, checkoutId);
  } catch (error) {
    const code = codeOf(error) ?? 'unknown';
    metrics.attemptsFailed.inc({ code });
    const entry = { checkoutId, code, err: error };
    if (isRetriable(error)) deps.log.warn({ event: 'checkout.attempt_failed', ...entry });
    else deps.log.error({ event: 'checkout.attempt_failed', ...entry });
    throw error;
  }
}
