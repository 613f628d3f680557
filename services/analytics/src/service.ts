/**
 * Composes a node: the election, the drain that it starts and ends, and the HTTP surface. Tests use
 * the same composition.
 */
import type { CoordinatorDocument } from '@thermomesh/contracts';
import type { Election } from '@thermomesh/election';
import {
  createCrashHook,
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
import { createAccess } from './access.ts';
import { announce } from './adapters/mqtt-announcer.ts';
import { openDrainSource } from './adapters/mqtt-drain-source.ts';
import { createMqttProbe } from './adapters/mqtt-probe.ts';
import { openDrainStore } from './adapters/pg-drain-store.ts';
import { createSqlProbe } from './adapters/pg-probe.ts';
import { createDataUpkeep } from './adapters/pg-data-upkeep.ts';
import { createDeviceIncarnations } from './adapters/pg-device-incarnations.ts';
import { createTelemetryQueries } from './adapters/pg-telemetry-queries.ts';
import { announceNode } from './adapters/zk-announcement.ts';
import type { NodeSettings } from './config.ts';
import { createCoordinator, type Coordinator } from './coordinator/coordinator.ts';
import { createElection } from './coordinator/election.ts';
import { replayMessage } from './coordinator/replay.ts';
import { createFitness, type Fitness } from './coordinator/fitness.ts';
import { describeGap, describeOtherDatabase } from './core/continuity.ts';
import type { BatchLimits, DrainLimitsSource, TelemetryQueries } from './core/ports.ts';
import { createAnalyticsApp } from './http/app.ts';
import { createDrainMetrics } from './metrics.ts';
import { createZooKeeperWork } from './zookeeper.ts';

/** Application name of the drain's sessions in pg_stat_activity, before the node id. */
const drainApplicationName = 'thermomesh-drain';
/** The part of a node's fitness that stands for PostgreSQL. */
const sqlPart = 'postgresql';

/** A running analytics node. */
export interface AnalyticsService extends Service {
  /** The port that HTTP listens on; known once the service has started. */
  readonly httpPort: number;
}

/** Creates a node; it is not started. */
export async function createService(settings: NodeSettings, log: Log): Promise<AnalyticsService> {
  const { nodeId, http } = settings;
  const metrics = createMetrics();
  const health = createHealth();
  const pool = createPool({
    url: settings.sql.url,
    applicationName: `thermomesh-analytics-${nodeId}`,
    connectTimeoutMs: settings.sql.connectTimeoutMs,
    statementTimeoutMs: settings.sql.statementTimeoutMs,
  });
  const queries = createTelemetryQueries(pool);
  const zookeeper = createZooKeeperWork(settings, log, metrics);
  const { drainLimits } = zookeeper;
  const { fitness, closeProbes } = composeFitness(settings);
  const coordinator = composeCoordinator({ settings, log, metrics, queries, drainLimits, fitness });
  const { election, attach } = createElection(settings, log, metrics, coordinator);
  coordinator.setElection(election);
  const app = await createAnalyticsApp(
    { log, health, metrics, gatekeeper: composeGatekeeper(settings, log) },
    {
      queries,
      incarnations: createDeviceIncarnations(pool),
      upkeep: createDataUpkeep(pool),
      times: settings.times,
      describeElection: () => ({ ...describe(election), drain: coordinator.drainView() }),
      acceptGap: (gap) => coordinator.acceptGap(gap),
      replay: (message) => replayMessage(message, settings, coordinator),
      describeDrainLimits: () => drainLimits.view(),
    },
  );
  addHealth(health, election, fitness, coordinator);

  let httpPort = 0;
  let announcement: ReturnType<typeof announceSelf>;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    fitness.stop();
    closeProbes();
    // The gateway learns of the stop while the election hands over.
    await Promise.all([announcement?.withdraw(), election.stop(), zookeeper.stop()]);
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
      httpPort = Number(new URL(await listen(app, http.host, http.port)).port);
      log.info({ event: 'analytics.listening', httpPort, node: nodeId });
      announcement = announceSelf(settings, log, httpPort);
      zookeeper.start();
      await zookeeper.meet();
      // The service may have been stopped while it waited for the other nodes.
      if (stopped !== undefined) return;
      await election.start();
      fitness.start((fit, reasons) => {
        if (fit) log.info({ event: 'node.fit', reasons });
        else log.warn({ event: 'node.unfit', reasons });
        election.setFit(fit);
      });
    },
    stop: () => (stopped ??= stop()),
  };
}

/**
 * Lists this node in ZooKeeper. Without ZooKeeper the gateway has its address in its settings.
 */
function announceSelf({ announcement, nodeId, secret }: NodeSettings, log: Log, port: number) {
  if (announcement === undefined) return undefined;
  return announceNode({
    ...announcement,
    nodeId,
    port,
    secret,
    onError: (err) => log.warn({ event: 'analytics.announcement_failed', err }),
  });
}

/**
 * A node is ready when a coordinator is known and this node could be coordinator itself. A
 * coordinator whose drain waits at a gap is not.
 */
function addHealth(health: Health, election: Election, fitness: Fitness, coordinator: Coordinator): void {
  health.add('election', () =>
    election.snapshot().coordinator === null ? 'no coordinator is known' : undefined,
  );
  health.add('drain', () => {
    const view = coordinator.drainView();
    if (view?.otherDatabase !== undefined) return describeOtherDatabase(view.otherDatabase);
    return view === null || view.gap === null ? undefined : describeGap(view.gap);
  });
  health.add(
    'fitness',
    () =>
      Object.entries(fitness.reasons())
        .map(([part, why]) => `${part}: ${why}`)
        .join('; ') || undefined,
  );
}

function composeGatekeeper({ secret, apiKeysFile: file }: NodeSettings, log: Log): Gatekeeper {
  return createAccess({
    secret,
    apiKeysFile: file,
    onDamagedKeys: (lines) => log.error({ event: 'api_keys.damaged', file, lines }),
    onUseUnrecorded: (err) => log.info({ event: 'api_keys.use_unrecorded', file, err }),
  });
}

function composeFitness(settings: NodeSettings): { fitness: Fitness; closeProbes: () => void } {
  const { nodeId, secret, sql } = settings;
  const sqlProbe = createSqlProbe({
    url: sql.url,
    applicationName: `thermomesh-probe-${nodeId}`,
    lockTimeoutMs: sql.lockTimeoutMs,
    idleInTransactionTimeoutMs: sql.idleInTransactionTimeoutMs,
  });
  const gatewayProbe = createMqttProbe(settings.gateway.address, nodeId, secret);
  const fitness = createFitness({
    intervalMs: settings.fitness.intervalMs,
    timeoutMs: settings.fitness.timeoutMs,
    probes: {
      [sqlPart]: (timeoutMs) => sqlProbe.ask(timeoutMs),
      gateway: (timeoutMs) => gatewayProbe.ask(timeoutMs),
    },
  });
  const closeProbes = () => {
    sqlProbe.close();
    gatewayProbe.close();
  };
  return { fitness, closeProbes };
}

/** What the coordinator's work needs of the node. */
interface CoordinatorDeps {
  settings: NodeSettings;
  log: Log;
  metrics: Metrics;
  queries: TelemetryQueries;
  drainLimits: Pick<DrainLimitsSource, 'view'>;
  fitness: Fitness;
}

function composeCoordinator(deps: CoordinatorDeps): Coordinator {
  const { settings, log, queries, drainLimits, fitness } = deps;
  const { nodeId, secret, drain, gateway } = settings;
  const { address, timeoutMs, keepaliveSeconds } = gateway;
  const drainMetrics = createDrainMetrics(deps.metrics);
  return createCoordinator({
    nodeId,
    log,
    metrics: drainMetrics,
    crash: createCrashHook(parseCrashPlan(settings.crash.point), settings.crash.witnessFile),
    leaseMs: drain.leaseMs,
    leaseRenewMs: drain.leaseRenewMs,
    retention: drain.retention,
    retry: drain.retry,
    gapPolicy: drain.gapPolicy,
    adoptDatabase: drain.adoptDatabase,
    limits: () => batchLimitsOf(drainLimits),
    openStore: () =>
      openDrainStore({
        ...settings.sql,
        applicationName: `${drainApplicationName}-${nodeId}`,
        rejections: settings.rejections,
        seqLeapMax: drain.seqLeapMax,
        onImplausible: (readings) => drainMetrics.implausible.inc(readings),
      }),
    openSource: (epoch) =>
      openDrainSource({
        address,
        nodeId,
        secret,
        epoch,
        timeoutMs,
        keepaliveSeconds,
        queueBytesMax: drain.queueBytesMax,
        times: settings.times,
        plausible: settings.plausible,
        onInvalid: (err) => log.error({ event: 'drain.bad_message', err }),
      }),
    announce: (epoch) => announce(address, secret, { node: nodeId, epoch, electedAt: Date.now() }, timeoutMs),
    currentHolder: () => queries.coordinator(),
    sqlAnswers: () => fitness.reasons()[sqlPart] === undefined,
  });
}

function batchLimitsOf(drainLimits: Pick<DrainLimitsSource, 'view'>): BatchLimits {
  const { limits } = drainLimits.view();
  return {
    rowsMax: limits.batchRowsMax,
    bytesMax: limits.batchBytesMax,
    lingerMs: limits.batchLingerMs,
  };
}

function describe(election: Election): CoordinatorDocument {
  const { nodeId, role, coordinator, fit, peers } = election.snapshot();
  return { nodeId, role, coordinator, fit, peers };
}
