/** The checkout put together: orders, outbox, relay, queue, billing. It can be down while the rest of the gateway is up. */
import { createBillingClient } from '@thermomesh/billing-client';
import { findBilling, type BillingFinder } from '@thermomesh/billing-client/discovery';
import {
  codeOf,
  createCrashHook,
  deriveToken,
  parseCrashPlan,
  subjects,
  type CrashHook,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import { createPool, type SqlPool } from '@thermomesh/sql';
import type { BullQueue } from './adapters/bull-queue.ts';
import { createCheckoutStore } from './adapters/pg-checkout-store.ts';
import { createFinalWatch, type FinalWatch } from './core/final-watch.ts';
import { createOrders, type Orders } from './core/orders.ts';
import type { CheckoutStore, Unavailable } from './core/ports.ts';
import { createRelay } from './core/relay.ts';
import { createCheckoutSecrets } from './core/secrets.ts';
import { settle, type SettleDeps } from './core/settle.ts';
import { createEventStreams, type EventStreams } from './http/event-streams.ts';
import { createLateQueue } from './late-queue.ts';
import { createCheckoutMetrics, type CheckoutMetrics } from './metrics.ts';
import type { CheckoutConfig } from './settings.ts';

/** What the routes use. */
export interface Checkout {
  orders: Orders;
  store: Pick<CheckoutStore, 'find' | 'list'>;
  streams: EventStreams;
  /** Why no order can be taken now; undefined if one can. */
  unavailable(): Unavailable | undefined;
  retryAfterSeconds: number;
}

export interface CheckoutService extends Checkout {
  /** Never fails: what cannot be reached yet is tried again. */
  start(): void;
  /** No more orders and streams, then what is under way until the deadline. */
  stop(deadlineMs: number): Promise<void>;
  /** After the last request has been answered. */
  close(): Promise<void>;
}

export interface CheckoutDeps {
  log: Log;
  metrics: Metrics;
  /** The mesh's secret, from which the gateway's token at billing is derived. */
  secret: string;
  crashPoint: string | undefined;
  crashWitnessFile: string | undefined;
}

export function createCheckout(config: CheckoutConfig, deps: CheckoutDeps): CheckoutService {
  const { log } = deps;
  const crash = createCrashHook(parseCrashPlan(deps.crashPoint), deps.crashWitnessFile);
  const pool = openPool(config);
  const store = createCheckoutStore(pool);
  const secrets = createCheckoutSecrets(config.CHECKOUT_SECRET);
  let databaseFault: unknown;
  let stopping = false;
  const unavailable = () => (stopping ? stoppingFault : queue.fault());
  const metrics = createCheckoutMetrics(deps.metrics, {
    available: () => unavailable() === undefined && databaseFault === undefined,
    streams: () => streams.size,
    outbox: () => store.outbox(),
  });
  const watch = openWatch(config, store, metrics);
  const streams = createEventStreams({
    watch,
    streamsMax: config.CHECKOUT_STREAMS_MAX,
    streamsPerCallerMax: config.CHECKOUT_STREAMS_PER_CALLER_MAX,
    heartbeatMs: config.CHECKOUT_HEARTBEAT_MS,
  });
  const finder = openFinder(config, log, deps.secret);
  const settling: SettleDeps = {
    store,
    billing: openBilling(config, deps.secret, finder),
    secrets,
    crash,
    log,
    onFinal(checkoutId, { status }) {
      metrics.final.inc({ status });
      watch.wake(checkoutId);
    },
  };
  const queue = openQueue(
    config,
    log,
    (id) => attempt(settling, metrics, id),
    () => relay.wake(),
  );
  const relay = composeRelay(config, { store, queue, crash, log, metrics }, (error) => {
    databaseFault = error;
  });
  return {
    orders: createOrders({
      store,
      secrets,
      crash,
      onAccepted(replayed) {
        metrics.accepted.inc({ replayed: String(replayed) });
        if (!replayed) relay.wake();
      },
    }),
    store,
    streams,
    unavailable,
    retryAfterSeconds: config.CHECKOUT_RETRY_AFTER_SECONDS,
    start() {
      finder?.start();
      queue.start();
      relay.start();
    },
    async stop(deadlineMs) {
      stopping = true;
      streams.close();
      await relay.stop();
      await queue.stop(deadlineMs);
    },
    close: async () => void (await Promise.all([pool.close(), finder?.stop()])),
  };
}

const stoppingFault: Unavailable = { code: 'checkout.stopping', detail: 'this gateway is stopping' };

function openWatch(config: CheckoutConfig, store: CheckoutStore, metrics: CheckoutMetrics): FinalWatch {
  return createFinalWatch(store, config.CHECKOUT_WATCH_INTERVAL_MS, (error) =>
    metrics.watchFailed.inc({ code: codeOf(error) ?? 'unknown' }),
  );
}

function openPool(config: CheckoutConfig): SqlPool {
  return createPool({
    url: config.DATABASE_URL,
    applicationName: 'thermomesh-checkout',
    connectionsMax: config.CHECKOUT_SQL_CONNECTIONS_MAX,
    connectTimeoutMs: config.CHECKOUT_SQL_TIMEOUT_MS,
    statementTimeoutMs: config.CHECKOUT_SQL_TIMEOUT_MS,
  });
}

/** Undefined without ZooKeeper: the static replicas are all there are. */
function openFinder(config: CheckoutConfig, log: Log, secret: string): BillingFinder | undefined {
  const {
    ZOOKEEPER_HOSTS: hosts,
    SERVICES_PATH: path,
    ZOOKEEPER_SESSION_TIMEOUT_MS: sessionTimeoutMs,
  } = config;
  if (hosts === undefined) return undefined;
  return findBilling({
    ...{ hosts, path, sessionTimeoutMs, secret },
    staticUrls: config.BILLING_URLS.split(','),
    onChanged: (urls) => log.info({ event: 'checkout.billing_found', urls }),
    onFault: (err) => log.warn({ event: 'checkout.discovery_failed', err }),
  });
}

function openBilling(
  config: CheckoutConfig,
  secret: string,
  finder: BillingFinder | undefined,
): SettleDeps['billing'] {
  return createBillingClient({
    urls: finder?.urls ?? config.BILLING_URLS.split(','),
    token: deriveToken(secret, subjects.service('gateway')),
    deadlineMs: config.CHECKOUT_CALL_TIMEOUT_MS,
    tryTimeoutMs: config.CHECKOUT_TRY_TIMEOUT_MS,
  });
}

function openQueue(
  config: CheckoutConfig,
  log: Log,
  work: (checkoutId: string) => Promise<unknown>,
  onReady: () => void,
): BullQueue {
  return createLateQueue({
    url: config.REDIS_URL,
    name: config.CHECKOUT_QUEUE,
    concurrency: config.CHECKOUT_CONCURRENCY,
    lockMs: config.CHECKOUT_LOCK_MS,
    stalledIntervalMs: config.CHECKOUT_STALLED_INTERVAL_MS,
    checkMs: config.CHECKOUT_REDIS_CHECK_MS,
    backoff: { firstMs: config.CHECKOUT_BACKOFF_FIRST_MS, maxMs: config.CHECKOUT_BACKOFF_MAX_MS },
    work,
    onReady,
    log,
  });
}

interface RelayParts {
  store: CheckoutStore;
  queue: BullQueue;
  crash: CrashHook;
  log: Log;
  metrics: CheckoutMetrics;
}

function composeRelay(
  config: CheckoutConfig,
  { store, queue, crash, log, metrics }: RelayParts,
  onLook: (error: unknown) => void,
) {
  return createRelay({
    store,
    queue,
    queueFault: () => queue.fault(),
    crash,
    log,
    onHandOver(count, again) {
      metrics.handOvers.inc({ again: 'false' }, count - again);
      metrics.handOvers.inc({ again: 'true' }, again);
      if (again > 0) log.info({ event: 'checkout.handed_over_again', count: again });
    },
    onLook,
    limits: {
      intervalMs: config.CHECKOUT_RELAY_INTERVAL_MS,
      rowsMax: config.CHECKOUT_RELAY_ROWS_MAX,
      requeueMs: config.CHECKOUT_REQUEUE_MS,
    },
  });
}

/** @throws what left the outcome unknown, counted and told */
async function attempt(deps: SettleDeps, metrics: CheckoutMetrics, checkoutId: string): Promise<void> {
  try {
    await settle(deps, checkoutId);
  } catch (error) {
    const code = codeOf(error) ?? 'unknown';
    metrics.attemptsFailed.inc({ code });
    const passes = (error as { retriable?: unknown }).retriable === true;
    deps.log[passes ? 'warn' : 'error']({ event: 'checkout.attempt_failed', checkoutId, code, err: error });
    throw error;
  }
}
