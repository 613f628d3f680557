/** The gateway put together: store, log, broker, drain session, HTTP. Tests use the same composition. */
import {
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  type HttpApp,
  type Log,
  type Metrics,
  type Service,
} from '@thermomesh/runtime';
import { createCheckout, type CheckoutService } from './checkout/checkout.ts';
import { checkoutConfigOf } from './checkout/settings.ts';
import { lockFolder, type FolderLock } from './adapters/folder-lock.ts';
import { compose, storeState, type Running, type ServiceParts } from './compose.ts';
import type { Config } from './config.ts';
import { describe, figuresOf } from './describe.ts';
import { createGatewayApp } from './http/app.ts';
import { createJobs } from './jobs/jobs.ts';
import { createGatewayMetrics } from './metrics.ts';

export type { ServiceParts } from './compose.ts';

export interface GatewayService extends Service {
  /** Known once started. */
  readonly mqttPort: number;
  readonly httpPort: number;
}

/** How long a gateway that is about to end may keep its folder from the next one. */
const lockTimeoutMs = 3_000;

/** Share of the stop that work of the checkout may take; the rest is for closing. */
const checkoutStopShare = 0.8;

const notOpen = { state: 'failing', reason: 'not open yet' } as const;

export function createService(config: Config, log: Log, parts: ServiceParts = {}): GatewayService {
  const metrics = createMetrics();
  const health = createHealth();
  const figures = createGatewayMetrics(metrics, () => running && figuresOf(running));
  const gatekeeper = createGatekeeper(config.MESH_SECRET, config.API_KEYS_FILE, (lines) =>
    log.error({ event: 'api_keys.damaged', file: config.API_KEYS_FILE, lines }),
  );
  const checkout = openCheckout(config, log, metrics);
  const jobs = createJobs(config, { log, metrics, secret: config.MESH_SECRET });
  let running: Running | undefined;
  let app: HttpApp | undefined;
  let lock: FolderLock | undefined;
  let mqttPort = 0;
  let httpPort = 0;
  let stopped: Promise<void> | undefined;

  health.add('mqtt', () => (mqttPort === 0 ? 'not listening yet' : undefined));
  health.add('store', () => {
    const { state, reason } = running === undefined ? notOpen : storeState(running);
    return state === 'ok' ? undefined : `${state}: ${reason}`;
  });

  async function start(): Promise<void> {
    lock = await lockFolder(config.DATA_DIR, lockTimeoutMs);
    running = await compose({ config, log, metrics: figures, parts });
    await running.broker.start();
    app = await createGatewayApp(
      {
        ...{ log, health, metrics, gatekeeper },
        // Images take longer to come than anything else that is sent here.
        ...(jobs === undefined ? {} : { requestTimeoutMs: config.EQUALIZER_UPLOAD_TIMEOUT_MS }),
      },
      {
        describeBroker: () => describe(running!, config, figures),
        checkout,
        jobs,
        limits: {
          requestsPerMinuteMax: config.CHECKOUT_REQUESTS_PER_MINUTE_MAX,
          addressRequestsPerMinuteMax: config.CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX,
        },
      },
    );
    httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
    mqttPort = await running.listener.listen();
    checkout?.start();
    jobs?.start();
    log.info({ event: 'gateway.listening', mqttPort, httpPort });
  }

  /** Readiness off → no new work → pending commits and their PUBACKs, checkouts under way → connections → store. */
  async function stop(): Promise<void> {
    health.close();
    const deadlineMs = Date.now() + config.STOP_TIMEOUT_MS * checkoutStopShare;
    await Promise.all([stopBroker(running, config.STOP_TIMEOUT_MS / 2), checkout?.stop(deadlineMs)]);
    await app?.close();
    await Promise.all([checkout?.close(), jobs?.stop()]);
    await lock?.release();
  }

  return {
    get mqttPort() {
      return mqttPort;
    },
    get httpPort() {
      return httpPort;
    },
    start,
    stop: () => (stopped ??= stop()),
  };
}

/** Undefined if it is switched off. */
function openCheckout(config: Config, log: Log, metrics: Metrics): CheckoutService | undefined {
  const settings = checkoutConfigOf(config);
  if (settings === undefined) return undefined;
  return createCheckout(settings, {
    log,
    metrics,
    secret: config.MESH_SECRET,
    crashPoint: config.CRASH_POINT,
    crashWitnessFile: config.CRASH_WITNESS_FILE,
  });
}

async function stopBroker(running: Running | undefined, commitTimeoutMs: number): Promise<void> {
  if (running === undefined) return;
  const { listener, committer, drain, broker, store } = running;
  listener.stopIntake();
  await committer.close(commitTimeoutMs);
  drain.close();
  await broker.close();
  await listener.close();
  await store.close();
}
