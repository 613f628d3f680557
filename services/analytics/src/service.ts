/** A node put together: the election, the drain that it starts and ends, and the HTTP surface. Tests use the same composition. */
import type { CoordinatorDocument } from '@thermomesh/contracts';
import type { Election } from '@thermomesh/election';
import {
  createCrashHook,
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  parseCrashPlan,
  type Gatekeeper,
  type Health,
  type Log,
  type Metrics,
  type Service,
} from '@thermomesh/runtime';
import { createPool } from '@thermomesh/sql';
import { announce } from './adapters/mqtt-announcer.ts';
import { openDrainSource } from './adapters/mqtt-drain-source.ts';
import { createMqttProbe } from './adapters/mqtt-probe.ts';
import { openDrainStore } from './adapters/pg-drain-store.ts';
import { createSqlProbe, type SqlProbe } from './adapters/pg-probe.ts';
import { createTelemetryQueries, type TelemetryQueries } from './adapters/pg-telemetry-queries.ts';
import type { Config } from './config.ts';
import { createCoordination, type Coordination } from './coordination.ts';
import { createCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator.ts';
import { createElection, type ElectionParts } from './election.ts';
import { createFitness, type Fitness } from './fitness.ts';
import { createAnalyticsApp } from './http/app.ts';
import { createDrainMetrics, type DrainMetrics } from './metrics.ts';

/** Sessions of the drain are called so in pg_stat_activity. */
const drainApplicationName = 'thermomesh-drain';
/** PostgreSQL among the parts of a node's fitness. */
const sqlPart = 'postgresql';

export interface AnalyticsService extends Service {
  /** The port that HTTP listens on; known once started. */
  readonly httpPort: number;
}

export async function createService(config: Config, log: Log): Promise<AnalyticsService> {
  const metrics = createMetrics();
  const health = createHealth();
  const gatekeeper = composeGatekeeper(config, log);
  const pool = createPool({
    url: config.DATABASE_URL,
    applicationName: `thermomesh-analytics-${config.NODE_ID}`,
    connectTimeoutMs: config.SQL_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: config.SQL_STATEMENT_TIMEOUT_MS,
  });
  const queries = createTelemetryQueries(pool);
  const coordination = createCoordination(config, log, metrics);
  const { drainLimits } = coordination;
  const { election, coordinator, attach } = composeElection(
    { config, log, queries, drainLimits },
    metrics,
    () => sqlAnswers(fitness),
  );
  const probe = composeSqlProbe(config);
  const gateway = createMqttProbe(config.mqtt, config.NODE_ID, config.MESH_SECRET);
  const fitness = createFitness({
    intervalMs: config.FITNESS_INTERVAL_MS,
    timeoutMs: config.FITNESS_TIMEOUT_MS,
    probes: {
      [sqlPart]: (timeoutMs) => probe.ask(timeoutMs),
      gateway: (timeoutMs) => gateway.ask(timeoutMs),
    },
    onChange: (fit, reasons) => {
      log[fit ? 'info' : 'warn']({ event: fit ? 'node.fit' : 'node.unfit', reasons });
      election.setFit(fit);
    },
  });
  const app = await createAnalyticsApp(
    { log, health, metrics, gatekeeper },
    {
      queries,
      describeElection: () => describe(election),
      describeDrainLimits: () => drainLimits.view(),
    },
  );
  addHealth(health, election, fitness);

  let httpPort = 0;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    fitness.stop();
    probe.close();
    gateway.close();
    await Promise.all([election.stop(), coordination.stop()]);
    coordinator.close();
    await app.close();
    await pool.close();
  }
  return {
    get httpPort() {
      return httpPort;
    },
    async start() {
      attach(app.server);
      httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
      log.info({ event: 'analytics.listening', httpPort, node: config.NODE_ID });
      coordination.start();
      await coordination.meet();
      // Told to stop while it waited for the others.
      if (stopped !== undefined) return;
      await election.start();
      fitness.start();
    },
    stop: () => (stopped ??= stop()),
  };
}

/** Ready: a coordinator is known, and this node could be it. */
function addHealth(health: Health, election: Election, fitness: Fitness): void {
  health.add('election', () =>
    election.snapshot().coordinator === null ? 'no coordinator is known' : undefined,
  );
  health.add(
    'fitness',
    () =>
      Object.entries(fitness.reasons())
        .map(([part, why]) => `${part}: ${why}`)
        .join('; ') || undefined,
  );
}

function composeGatekeeper({ MESH_SECRET: secret, API_KEYS_FILE: file }: Config, log: Log): Gatekeeper {
  return createGatekeeper(secret, file, (lines) => log.error({ event: 'api_keys.damaged', file, lines }));
}

function composeSqlProbe(config: Config): SqlProbe {
  return createSqlProbe({
    url: config.DATABASE_URL,
    applicationName: `thermomesh-probe-${config.NODE_ID}`,
    lockTimeoutMs: config.SQL_LOCK_TIMEOUT_MS,
    idleInTransactionTimeoutMs: config.SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS,
  });
}

/** What the coordinator's work needs of the node. */
interface Surroundings {
  config: Config;
  log: Log;
  queries: TelemetryQueries;
  drainLimits: Coordination['drainLimits'];
}

/** The node's election, and the coordinator's work as its host. */
function composeElection(around: Surroundings, metrics: Metrics, sqlAnswers: () => boolean): Parts {
  const coordinator = composeCoordinator(around, createDrainMetrics(metrics), {
    onDeposed: (by) => parts.election.deposed(by),
    sqlAnswers,
  });
  const parts = createElection(around.config, around.log, metrics, coordinator);
  return { ...parts, coordinator };
}

const sqlAnswers = (fitness: Fitness) => fitness.reasons()[sqlPart] === undefined;

interface Parts extends ElectionParts {
  coordinator: Coordinator;
}

function composeCoordinator(
  { config, log, queries, drainLimits }: Surroundings,
  metrics: DrainMetrics,
  standing: Pick<CoordinatorOptions, 'onDeposed' | 'sqlAnswers'>,
): Coordinator {
  const { NODE_ID: nodeId, MESH_SECRET: secret, mqtt: address } = config;
  const session = {
    url: config.DATABASE_URL,
    applicationName: `${drainApplicationName}-${nodeId}`,
    connectTimeoutMs: config.SQL_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: config.SQL_STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: config.SQL_LOCK_TIMEOUT_MS,
    idleInTransactionTimeoutMs: config.SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS,
  };
  return createCoordinator({
    nodeId,
    log,
    metrics,
    ...standing,
    crash: createCrashHook(parseCrashPlan(config.CRASH_POINT), config.CRASH_WITNESS_FILE),
    leaseMs: config.LEASE_MS,
    leaseRenewMs: config.LEASE_RENEW_MS,
    retention: {
      keptHours: config.DRAIN_BATCHES_KEPT_HOURS,
      rowsMax: config.DRAIN_BATCHES_PRUNE_ROWS_MAX,
      intervalMs: config.DRAIN_BATCHES_PRUNE_INTERVAL_MS,
    },
    retry: { minMs: config.RETRY_MIN_MS, maxMs: config.RETRY_MAX_MS },
    limits: () => {
      const {
        batchRowsMax: rowsMax,
        batchBytesMax: bytesMax,
        batchLingerMs: lingerMs,
      } = drainLimits.view().limits;
      return { rowsMax, bytesMax, lingerMs };
    },
    openStore: () => openDrainStore(session),
    openSource: (epoch) =>
      openDrainSource({
        address,
        nodeId,
        secret,
        epoch,
        timeoutMs: config.MQTT_TIMEOUT_MS,
        keepaliveSeconds: config.MQTT_KEEPALIVE_SECONDS,
        queueBytesMax: config.DRAIN_QUEUE_BYTES_MAX,
        onFault: (err) => log.error({ event: 'drain.bad_message', err }),
      }),
    announce: (epoch) =>
      announce(address, secret, { node: nodeId, epoch, electedAt: Date.now() }, config.MQTT_TIMEOUT_MS),
    currentHolder: () => queries.coordinator(),
  });
}

function describe(election: Election): CoordinatorDocument {
  const { nodeId, role, coordinator, fit, peers } = election.snapshot();
  return { nodeId, role, coordinator, fit, peers };
}
