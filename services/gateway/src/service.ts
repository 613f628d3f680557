/**
 * Composes the gateway: broker, checkout, commands, image jobs, readings and HTTP. Tests use the
 * same composition.
 */
import {
  createCrashHook,
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  parseCrashPlan,
  type CallerGatekeeper,
  type Health,
  type HttpApp,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import { lockFolder, type FolderLock } from './broker/adapters/folder-lock.ts';
import { compose, storeState, type BrokerParts, type RunningBroker } from './broker/compose.ts';
import { describe, statsOf } from './broker/describe.ts';
import { createBrokerMetrics } from './broker/metrics.ts';
import { createCheckout } from './checkout/checkout.ts';
import { createCommands } from './commands/commands.ts';
import type { GatewaySettings } from './config.ts';
import { createGatewayApp } from './http/app.ts';
import { createImageJobs, type ImageJobsDeps } from './image-jobs/image-jobs.ts';
import { createReadingsApi } from './readings-api/readings-api.ts';

export type { BrokerParts } from './broker/compose.ts';

export interface GatewayService extends Service {
  /** 0 until the gateway listens. */
  readonly mqttPort: number;
  /** 0 until the gateway listens. */
  readonly httpPort: number;
}

/** How long a gateway waits for its predecessor, which may still hold the lock of the folder. */
const lockTimeoutMs = 3_000;

/** Share of the shutdown time that the checkout may take; the rest is for closing connections. */
const checkoutStopShare = 0.8;

const notOpen = { state: 'failing', reason: 'not open yet' } as const;

/** The parts that are open; a start that fails leaves those that it has opened. */
interface Opened {
  lock?: FolderLock;
  broker?: RunningBroker;
  app?: HttpApp;
}

interface Ports {
  mqtt: number;
  http: number;
}

type State =
  | { phase: 'new' }
  | { phase: 'starting'; opened: Opened }
  | { phase: 'listening'; opened: Opened; ports: Ports }
  | { phase: 'stopped'; opened: Opened; ports: Ports; done: Promise<void> };

/** @param parts replacements for parts of the broker, for tests */
export function createService(settings: GatewaySettings, log: Log, parts: BrokerParts = {}): GatewayService {
  const { secret, stopTimeoutMs } = settings;
  const metrics = createMetrics();
  const health = createHealth();
  const crash = createCrashHook(parseCrashPlan(settings.crash.point), settings.crash.witnessFile);
  let state: State = { phase: 'new' };
  const brokerMetrics = createBrokerMetrics(metrics, () => {
    const { broker } = openedIn(state);
    return broker && statsOf(broker);
  });
  const checkout = settings.checkout && createCheckout(settings.checkout, { log, metrics, secret, crash });
  const commands = settings.commands && createCommands(settings.commands, { log, metrics, crash });
  const { jobs, readings, ...proxies } = createProxies(settings, { log, metrics, secret });

  addHealthChecks(health, () => state);

  async function openApp(running: RunningBroker): Promise<HttpApp> {
    // The slowest requests are uploads of images.
    const uploads = settings.imageJobs && { requestTimeoutMs: settings.imageJobs.uploadTimeoutMs };
    const gatekeeper = gatekeeperFor(settings, log);
    const describeBroker = () => describe(running, settings.broker, brokerMetrics);
    const mqttPort = () => portsIn(state).mqtt;
    const { rateLimits: limits } = settings;
    const routes = { describeBroker, mqttPort, checkout, commands, jobs, readings, limits };
    return createGatewayApp({ log, health, metrics, gatekeeper, ...uploads }, routes);
  }

  async function start(): Promise<void> {
    const opened: Opened = {};
    state = { phase: 'starting', opened };
    opened.lock = await lockFolder(settings.broker.dataFolder, lockTimeoutMs);
    const broker = await compose({ options: settings.broker, log, metrics: brokerMetrics, crash, parts });
    opened.broker = broker;
    await broker.aedes.start();
    broker.expiry.start();
    broker.keptExpiry.start();
    opened.app = await openApp(broker);
    const http = Number(new URL(await listen(opened.app, settings.http.host, settings.http.port)).port);
    const mqtt = await broker.listener.listen();
    state = { phase: 'listening', opened, ports: { mqtt, http } };
    checkout?.start();
    commands?.start(broker.aedes.links);
    proxies.start();
    log.info({ event: 'gateway.listening', mqttPort: mqtt, httpPort: http });
  }

  /**
   * Order: readiness, new work, pending commits with their PUBACKs and checkouts under way,
   * connections, store.
   */
  async function close({ lock, broker, app }: Opened): Promise<void> {
    health.close();
    const deadlineMs = Date.now() + stopTimeoutMs * checkoutStopShare;
    await commands?.stop();
    await Promise.all([stopBroker(broker, stopTimeoutMs / 2), checkout?.stop(deadlineMs)]);
    await app?.close();
    await Promise.all([checkout?.close(), commands?.close(), proxies.stop()]);
    await lock?.release();
  }

  function stop(): Promise<void> {
    if (state.phase === 'stopped') return state.done;
    const opened = openedIn(state);
    const done = close(opened);
    state = { phase: 'stopped', opened, ports: portsIn(state), done };
    return done;
  }

  return {
    get mqttPort() {
      return portsIn(state).mqtt;
    },
    get httpPort() {
      return portsIn(state).http;
    },
    start,
    stop,
  };
}

/** The parts that pass requests on to other services. */
function createProxies(settings: GatewaySettings, deps: ImageJobsDeps) {
  const jobs = settings.imageJobs && createImageJobs(settings.imageJobs, deps);
  const readings = settings.readings && createReadingsApi(settings.readings, deps);
  return {
    jobs,
    readings,
    start() {
      jobs?.start();
      readings?.start();
    },
    stop: async () => Promise.all([jobs?.stop(), readings?.stop()]),
  };
}

function gatekeeperFor({ secret, apiKeysFile }: GatewaySettings, log: Log): CallerGatekeeper {
  const file = apiKeysFile;
  return createGatekeeper(secret, file, (lines) => log.error({ event: 'api_keys.damaged', file, lines }), {
    onUseUnrecorded: (err) => log.info({ event: 'api_keys.use_unrecorded', file, err }),
  });
}

function addHealthChecks(health: Health, state: () => State): void {
  health.add('mqtt', () => (portsIn(state()).mqtt === 0 ? 'not listening yet' : undefined));
  health.add('store', () => {
    const { broker } = openedIn(state());
    const store = broker === undefined ? notOpen : storeState(broker);
    return store.state === 'ok' ? undefined : `${store.state}: ${store.reason}`;
  });
}

function openedIn(state: State): Opened {
  switch (state.phase) {
    case 'new':
      return {};
    case 'starting':
    case 'listening':
    case 'stopped':
      return state.opened;
  }
}

/** The ports of a gateway that listens or has listened; 0 before. */
function portsIn(state: State): Ports {
  switch (state.phase) {
    case 'new':
    case 'starting':
      return { mqtt: 0, http: 0 };
    case 'listening':
    case 'stopped':
      return state.ports;
  }
}

async function stopBroker(broker: RunningBroker | undefined, commitTimeoutMs: number): Promise<void> {
  if (broker === undefined) return;
  broker.listener.stopIntake();
  broker.expiry.stop();
  broker.keptExpiry.stop();
  await broker.committer.close(commitTimeoutMs);
  broker.drain.close();
  await broker.aedes.close();
  await broker.listener.close();
  await broker.store.close();
}
