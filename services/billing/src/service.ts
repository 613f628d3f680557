/**
 * Composes a replica: the store, the processor, the sweeper and the HTTP surface. Tests use the
 * same composition.
 */
import { announceBilling, type Announcement } from '@thermomesh/billing-client/discovery';
import {
  createCallerGatekeeper,
  createCrashHook,
  createHealth,
  createMetrics,
  listen,
  parseCrashPlan,
  type ApiScope,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import { createPool } from '@thermomesh/sql';
import { createProcessorClient } from './adapters/http-processor.ts';
import { createOperationStore } from './adapters/pg-operations.ts';
import { createPaymentQueries } from './adapters/pg-payment-queries.ts';
import { createAnswerWatch } from './answers.ts';
import type { BillingSettings } from './config.ts';
import type { OperationStore, ProcessorClient } from './core/ports.ts';
import { createSecrets } from './core/secrets.ts';
import { createBillingApp } from './http/app.ts';
import { createBillingMetrics, type BillingMetrics } from './metrics.ts';
import { createPayments, type Payments } from './payments.ts';
import { createSweeper } from './sweeper.ts';

/** A running billing replica. */
export interface BillingService extends Service {
  /** The port that HTTP listens on; known once the service has started. */
  readonly httpPort: number;
}

const callerScopes: readonly ApiScope[] = ['read', 'checkout'];

/** Creates a replica; it is not started. */
export async function createService(settings: BillingSettings, log: Log): Promise<BillingService> {
  const { http, replica } = settings;
  const registry = createMetrics();
  const metrics = createBillingMetrics(registry);
  const health = createHealth();
  const pool = createPool({ ...settings.sql, durable: true });
  const store = createOperationStore(pool, {
    ...settings.store,
    onStatement: (statement, operations) => metrics.gathered.observe({ statement }, operations),
  });
  const processor = createProcessorClient(settings.processor);
  const payments = composePayments({ settings, log, store, processor, metrics });
  const sweeper = createSweeper({ ...settings.sweeper, payments, store, metrics, log });
  health.add('postgresql', () => sweeper.unhealthyReason());
  const scopes = Object.fromEntries(settings.callers.map((name) => [name, callerScopes]));
  const app = await createBillingApp(
    {
      log,
      health,
      metrics: registry,
      gatekeeper: createCallerGatekeeper(settings.meshSecret, scopes),
      bodyBytesMax: http.bodyBytesMax,
    },
    {
      payments,
      queries: createPaymentQueries(pool),
      metrics,
      retryAfterSeconds: http.retryAfterSeconds,
    },
  );
  let httpPort = 0;
  let announcement: Announcement | undefined;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    // Callers learn of the stop while the work under way is finished.
    const withdrawn = announcement?.withdraw();
    await sweeper.stop();
    // Answers under way come first: closing the app breaks their connections.
    await payments.settle();
    await withdrawn;
    await app.close();
    await payments.settle();
    processor.close();
    await pool.close();
  }
  return {
    get httpPort() {
      return httpPort;
    },
    async start() {
      sweeper.start();
      httpPort = Number(new URL(await listen(app, http.host, http.port)).port);
      announcement = announce(settings, log, httpPort);
      log.info({ event: 'billing.listening', httpPort, replica });
    },
    stop: () => (stopped ??= stop()),
  };
}

/**
 * Lists this replica in ZooKeeper. Without ZooKeeper the callers have its address in their
 * settings.
 */
function announce(settings: BillingSettings, log: Log, port: number): Announcement | undefined {
  if (settings.announcement === undefined) return undefined;
  return announceBilling({
    ...settings.announcement,
    replica: settings.replica,
    secret: settings.meshSecret,
    port,
    onError: (err) => log.warn({ event: 'billing.announcement_failed', err }),
  });
}

/** What the work on payments needs of the replica. */
interface PaymentsDeps {
  settings: BillingSettings;
  log: Log;
  store: OperationStore;
  processor: ProcessorClient;
  metrics: BillingMetrics;
}

function composePayments({ settings, log, store, processor, metrics }: PaymentsDeps): Payments {
  return createPayments({
    store,
    processor,
    secrets: createSecrets(settings.billingSecret),
    metrics,
    log,
    crash: createCrashHook(parseCrashPlan(settings.crash.point), settings.crash.witnessFile),
    limits: settings.run,
    watch: createAnswerWatch(store, settings.answers.pollMs),
    answerWaitMs: settings.answers.waitMs,
  });
}
