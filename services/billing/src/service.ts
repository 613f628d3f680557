/** A replica put together: the store, the processor, the sweeper and the HTTP surface. Tests use the same composition. */
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
import { createPool, type SqlPool } from '@thermomesh/sql';
import { createAnswerWatch } from './answer-watch.ts';
import { createProcessorClient, type ProcessorClient } from './adapters/http-processor.ts';
import { createOperationStore, type OperationStore } from './adapters/pg-operations.ts';
import { createPaymentQueries } from './adapters/pg-payment-queries.ts';
import { announcedHost, type Config } from './config.ts';
import { createSecrets } from './core/secrets.ts';
import { createBillingApp } from './http/app.ts';
import { createBillingMetrics, type BillingMetrics } from './metrics.ts';
import { createPayments, type Payments } from './payments.ts';
import { createSweeper } from './sweeper.ts';

export interface BillingService extends Service {
  /** The port that HTTP listens on; known once started. */
  readonly httpPort: number;
}

const callerScopes: readonly ApiScope[] = ['read', 'checkout'];

export async function createService(config: Config, log: Log): Promise<BillingService> {
  const registry = createMetrics();
  const metrics = createBillingMetrics(registry);
  const health = createHealth();
  const pool = openPool(config);
  const store = createOperationStore(pool, {
    holder: config.REPLICA,
    leaseMs: config.LEASE_MS,
    gatherMax: config.GATHER_OPERATIONS_MAX,
    waitingMax: config.GATHER_WAITING_MAX,
    onStatement: (statement, operations) => metrics.gathered.observe({ statement }, operations),
  });
  const processor = connectProcessor(config);
  const payments = composePayments(config, log, store, processor, metrics);
  const sweeper = createSweeper({
    payments,
    store,
    metrics,
    log,
    sweepIntervalMs: config.SWEEP_INTERVAL_MS,
    sweepRowsMax: config.SWEEP_ROWS_MAX,
    retireIntervalMs: config.RETIRE_INTERVAL_MS,
    retentionDays: config.KEY_RETENTION_DAYS,
  });
  health.add('postgresql', () => sweeper.fault());
  const scopes = Object.fromEntries(config.CALLERS.split(',').map((name) => [name, callerScopes]));
  const app = await createBillingApp(
    {
      log,
      health,
      metrics: registry,
      gatekeeper: createCallerGatekeeper(config.MESH_SECRET, scopes),
      bodyBytesMax: config.BODY_BYTES_MAX,
    },
    {
      payments,
      queries: createPaymentQueries(pool),
      metrics,
      retryAfterSeconds: config.RETRY_AFTER_SECONDS,
    },
  );
  let httpPort = 0;
  let announcement: Announcement | undefined;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    // Callers hear of it while what is under way is finished.
    const withdrawn = announcement?.withdraw();
    await sweeper.stop();
    // Answers under way first: closing the app breaks their connections.
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
      httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
      announcement = announce(config, log, httpPort);
      log.info({ event: 'billing.listening', httpPort, replica: config.REPLICA });
    },
    stop: () => (stopped ??= stop()),
  };
}

function openPool(config: Config): SqlPool {
  return createPool({
    url: config.DATABASE_URL,
    applicationName: `thermomesh-${config.REPLICA}`,
    connectionsMax: config.SQL_CONNECTIONS_MAX,
    connectTimeoutMs: config.SQL_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: config.SQL_STATEMENT_TIMEOUT_MS,
  });
}

/** Undefined without ZooKeeper: callers know the address from their settings then. */
function announce(config: Config, log: Log, port: number): Announcement | undefined {
  const { ZOOKEEPER_HOSTS: hosts, REPLICA: replica, MESH_SECRET: secret } = config;
  const address = announcedHost(config);
  if (hosts === undefined || address === undefined) return undefined;
  return announceBilling({
    ...{ hosts, replica, address, port, secret },
    path: config.SERVICES_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    onFault: (err) => log.warn({ event: 'billing.announcement_failed', err }),
  });
}

/** The worker's surroundings: store, processor, secrets, limits. */
function composePayments(
  config: Config,
  log: Log,
  store: OperationStore,
  processor: ProcessorClient,
  metrics: BillingMetrics,
): Payments {
  return createPayments({
    store,
    processor,
    secrets: createSecrets(config.BILLING_SECRET),
    metrics,
    log,
    crash: createCrashHook(parseCrashPlan(config.CRASH_POINT), config.CRASH_WITNESS_FILE),
    limits: {
      sendsPerAttemptMax: config.PROCESSOR_SENDS_MAX,
      pauseMs: config.PROCESSOR_PAUSE_MS,
      doubtPauseMs: config.DOUBT_PAUSE_MS,
    },
    watch: createAnswerWatch(store, config.ANSWER_POLL_MS),
    answerWaitMs: config.ANSWER_WAIT_MS,
  });
}

function connectProcessor(config: Config): ProcessorClient {
  return createProcessorClient({
    url: config.PROCESSOR_URL,
    secret: config.PROCESSOR_SECRET,
    timeoutMs: config.PROCESSOR_TIMEOUT_MS,
    connectionsMax: config.PROCESSOR_CONNECTIONS_MAX,
  });
}
