/** The gateway put together: store, log, broker, drain session, HTTP. Tests use the same composition. */
import path from 'node:path';
import { drainClientId, drainFilter, uuidText, type BrokerDocument } from '@thermomesh/contracts';
import {
  createCrashHook,
  createGatekeeper,
  createHealth,
  createMetrics,
  listen,
  parseCrashPlan,
  type HttpApp,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import { createBroker, type Broker } from './adapters/aedes-broker.ts';
import { createDrainSession, type DrainSession } from './adapters/drain-session.ts';
import { LmdbPersistence } from './adapters/aedes-persistence.ts';
import { openLmdbStore } from './adapters/lmdb-store.ts';
import { createMqttListener, type MqttListener } from './adapters/mqtt-listener.ts';
import type { Config } from './config.ts';
import { maySubscribe } from './core/access.ts';
import { createCommitter, type Committer, type StoreState } from './core/committer.ts';
import { connectOverheadBytesMax } from './core/first-bytes.ts';
import { createIntake, type Intake } from './core/intake.ts';
import { openMessageLog, type MessageLog } from './core/message-log.ts';
import { Sessions } from './core/sessions.ts';
import type { Store } from './core/store.ts';
import { createGatewayApp } from './http/app.ts';
import { createGatewayMetrics, type GatewayFigures, type GatewayMetrics } from './metrics.ts';

export interface GatewayService extends Service {
  /** Known once started. */
  readonly mqttPort: number;
  readonly httpPort: number;
}

export interface ServiceParts {
  /** Another store than LMDB: tests hold and fail it. */
  store?: Store;
}

/** The parts that exist only between start and stop. */
interface Running {
  store: Store;
  committer: Committer;
  messages: MessageLog;
  sessions: Sessions;
  devices: Intake;
  mesh: Intake;
  drain: DrainSession;
  broker: Broker;
  listener: MqttListener;
}

export function createService(config: Config, log: Log, parts: ServiceParts = {}): GatewayService {
  const metrics = createMetrics();
  const health = createHealth();
  const figures = createGatewayMetrics(metrics, () => running && figuresOf(running));
  const gatekeeper = createGatekeeper(config.MESH_SECRET, config.API_KEYS_FILE);
  let running: Running | undefined;
  let app: HttpApp | undefined;
  let mqttPort = 0;
  let httpPort = 0;
  let stopped: Promise<void> | undefined;

  health.add('mqtt', () => (mqttPort === 0 ? 'not listening yet' : undefined));
  health.add('store', () => {
    const { state, reason } = running === undefined ? notOpen : storeState(running);
    return state === 'ok' ? undefined : `${state}: ${reason}`;
  });

  async function start(): Promise<void> {
    running = await compose(config, log, figures, parts);
    await running.broker.start();
    app = await createGatewayApp(
      { log, health, metrics, gatekeeper },
      { describeBroker: () => describe(running!, config, figures) },
    );
    httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
    mqttPort = await running.listener.listen();
    log.info({ event: 'gateway.listening', mqttPort, httpPort });
  }

  /** Readiness off → no new connections → pending commits and their PUBACKs → connections → store. */
  async function stop(): Promise<void> {
    health.close();
    if (running !== undefined) {
      const { listener, committer, drain, broker, store } = running;
      listener.stopIntake();
      await committer.close(config.STOP_TIMEOUT_MS / 2);
      drain.close();
      await broker.close();
      await listener.close();
      await store.close();
    }
    await app?.close();
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

const notOpen = { state: 'failing', reason: 'not open yet' } as const;

async function compose(
  config: Config,
  log: Log,
  metrics: GatewayMetrics,
  parts: ServiceParts,
): Promise<Running> {
  const store = parts.store ?? openLmdbStore({ path: path.join(config.DATA_DIR, 'store'), mapBytesMax: 2 * config.BUFFER_BYTES_MAX + 2 ** 30 });
  const crash = createCrashHook(parseCrashPlan(config.CRASH_POINT), config.CRASH_WITNESS_FILE);
  const committer = createCommitter({
    store,
    lingerMs: config.COMMIT_LINGER_MS,
    retry: { minMs: config.COMMIT_RETRY_MIN_MS, maxMs: config.COMMIT_RETRY_MAX_MS },
    onState: (state) => logState(log, state),
    onCommit: ({ commitMs }) => metrics.commitMs(commitMs),
  });
  const messages = await openMessageLog(store, committer);
  const drain = createDrainSession({
    log,
    messages,
    crash,
    secret: config.MESH_SECRET,
    limits: { messagesMax: config.DRAIN_WINDOW_MESSAGES, bytesMax: config.DRAIN_WINDOW_BYTES },
    onRefused: () => metrics.refusedConnection(),
  });
  const sessions = new Sessions(store, committer, messages);
  const intake = (limits: { bytesMax: number; messagesMax: number } | null) =>
    createIntake({
      log: messages,
      committer,
      queues: sessions,
      crash,
      limits,
      now: Date.now,
      onHeld: (held) =>
        logState(log, held ? { state: 'full', reason: bufferLimit } : { state: 'ok', reason: null }),
      onDeliverable: () => drain.wake(),
    });
  const devices = intake({ bytesMax: config.BUFFER_BYTES_MAX, messagesMax: config.BUFFER_MESSAGES_MAX });
  const mesh = intake(null);
  messages.onFreed = () => devices.resume();
  const broker = createBroker({
    log,
    access: { secret: config.MESH_SECRET, allowAnonymous: config.ALLOW_ANONYMOUS },
    intakeFor: (identity) => (identity.kind === 'device' ? devices : mesh),
    persistence: (identityOf) =>
      new LmdbPersistence({
        store,
        committer,
        sessions,
        windowMessagesMax: subscriberWindowMax / 2,
        identityOf,
        maySubscribe: (client, filter) => {
          const identity = identityOf(client);
          return identity !== undefined && maySubscribe(identity, filter);
        },
      }),
    subscriberWindowMax,
    inFlight: (clientId) => sessions.inFlight(clientId),
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
    publishBytesMax: config.PUBLISH_BYTES_MAX,
    subscriberBufferBytesMax: config.SUBSCRIBER_BUFFER_BYTES_MAX,
    events: metrics,
  });
  const listener = createMqttListener({
    host: config.MQTT_HOST,
    port: config.MQTT_PORT,
    connectionsMax: config.CONNECTIONS_MAX,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
    connectBytesMax: config.PUBLISH_BYTES_MAX + connectOverheadBytesMax,
    log,
    onDrain: (socket, first) => drain.accept(socket, first),
    onClient: (socket) => broker.accept(socket),
    onRefused: () => metrics.refusedConnection(),
  });
  return { store, committer, messages, sessions, devices, mesh, drain, broker, listener };
}

/** Sent to one persistent session and not acknowledged; well below the 65,535 packet ids there are. */
const subscriberWindowMax = 20_000;

const bufferLimit = 'the buffer limit is reached';

function logState(log: Log, { state, reason }: StoreState): void {
  if (state === 'ok') log.info({ event: 'store.recovered' });
  else log.error({ event: state === 'full' ? 'store.full' : 'store.failing', reason });
}

function storeState({ committer, devices }: Running): StoreState {
  if (committer.state.state !== 'ok') return committer.state;
  return devices.held ? { state: 'full', reason: bufferLimit } : committer.state;
}

function figuresOf(running: Running): GatewayFigures {
  const { messages, listener, drain, devices, mesh } = running;
  return {
    accepted: messages.accepted,
    buffered: messages.buffered,
    storedBytes: messages.storedBytes,
    connections: listener.connections,
    drainInFlight: drain.inFlight,
    waiting: devices.waiting + mesh.waiting,
    storeOk: storeState(running).state === 'ok',
  };
}

function describe(running: Running, config: Config, metrics: GatewayMetrics): BrokerDocument {
  const { messages, sessions, broker, listener, drain } = running;
  const others = sessions.list().map((session) => ({
    ...session,
    connected: broker.isConnected(session.clientId),
  }));
  return {
    log: uuidText(messages.uuid),
    store: { ...storeState(running), bytes: messages.storedBytes, bytesMax: config.BUFFER_BYTES_MAX },
    connections: listener.connections,
    sessions: [
      {
        clientId: drainClientId,
        connected: drain.holder !== undefined,
        queued: messages.buffered,
        subscriptions: [drainFilter],
      },
      ...others,
    ],
    drain: {
      connected: drain.holder !== undefined,
      node: drain.holder?.nodeId ?? null,
      epoch: drain.holder?.epoch ?? null,
      inFlight: drain.inFlight,
    },
    backlog: {
      messages: messages.buffered,
      bytes: messages.bufferedBytes,
      oldestReceivedAtMs: messages.oldestReceivedAtMs(),
    },
    counters: { accepted: messages.accepted, buffered: messages.buffered, ...metrics.counts },
  };
}
