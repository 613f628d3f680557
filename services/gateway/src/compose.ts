/** The parts of the gateway and who is handed to whom. */
import path from 'node:path';
import { createCrashHook, parseCrashPlan, type CrashHook, type Log } from '@thermomesh/runtime';
import { createBroker, type Broker } from './adapters/aedes-broker.ts';
import { LmdbPersistence } from './adapters/aedes-persistence.ts';
import { createDrainSession, type DrainSession } from './adapters/drain-session.ts';
import { openLmdbStore } from './adapters/lmdb-store.ts';
import { createMqttListener, type MqttListener } from './adapters/mqtt-listener.ts';
import type { Config } from './config.ts';
import { maySubscribe, type Identity } from './core/access.ts';
import { createCommitter, type Committer, type StoreState } from './core/committer.ts';
import { connectOverheadBytesMax } from './core/first-bytes.ts';
import { createIntake, type Intake } from './core/intake.ts';
import { openMessageLog, type MessageLog } from './core/message-log.ts';
import { Sessions } from './core/sessions.ts';
import type { Store } from './core/store.ts';
import type { GatewayMetrics } from './metrics.ts';

export interface ServiceParts {
  /** Another store than LMDB: tests hold and fail it. */
  store?: Store;
  /** A quarter of the time after which wills of a former process are published. */
  heartbeatIntervalMs?: number;
}

/** What keeps messages and sessions. */
export interface Keeping {
  store: Store;
  committer: Committer;
  messages: MessageLog;
  sessions: Sessions;
}

/** The parts that exist only between start and stop. */
export interface Running extends Keeping {
  /** Publishes of devices: held back by the buffer limit. */
  devices: Intake;
  /** Publishes of the mesh's own clients: the coordinator must be able to say who it is. */
  mesh: Intake;
  drain: DrainSession;
  broker: Broker;
  listener: MqttListener;
}

interface Context {
  config: Config;
  log: Log;
  metrics: GatewayMetrics;
  parts: ServiceParts;
}

/** Address space for the store beside twice the buffer limit: sessions, retained messages, free pages. */
const mapBytesExtra = 2 ** 30;
/** Sent to one persistent session and not acknowledged; well below the 65,535 packet ids there are. */
const subscriberWindowMax = 20_000;
const heartbeatIntervalMs = 60_000;
const bufferLimit: StoreState = { state: 'full', reason: 'the buffer limit is reached' };

/** Opens the store and puts everything together; nothing listens yet. */
export async function compose(context: Context): Promise<Running> {
  const { config, log, metrics } = context;
  const crash = createCrashHook(parseCrashPlan(config.CRASH_POINT), config.CRASH_WITNESS_FILE);
  const keeping = await openKeeping(context);
  const { messages } = keeping;
  const drain = createDrainSession({
    log,
    messages,
    crash,
    secret: config.MESH_SECRET,
    connectTimeoutMs: config.CONNECT_TIMEOUT_MS,
    limits: { messagesMax: config.DRAIN_WINDOW_MESSAGES, bytesMax: config.DRAIN_WINDOW_BYTES },
    onRefused: () => metrics.refusedConnection(),
  });
  const limits = { bytesMax: config.BUFFER_BYTES_MAX, messagesMax: config.BUFFER_MESSAGES_MAX };
  const devices = composeIntake(keeping, context, crash, limits, drain);
  const mesh = composeIntake(keeping, context, crash, null, drain);
  messages.onFreed = () => devices.resume();
  const broker = composeBroker(context, keeping, ({ kind }) => (kind === 'device' ? devices : mesh));
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
  return { ...keeping, devices, mesh, drain, broker, listener };
}

/** How the store does, the buffer limit included. */
export function storeState({ committer, devices }: Running): StoreState {
  return committer.state.state === 'ok' && devices.held ? bufferLimit : committer.state;
}

async function openKeeping({ config, log, metrics, parts }: Context): Promise<Keeping> {
  const store =
    parts.store ??
    openLmdbStore({
      path: path.join(config.DATA_DIR, 'store'),
      mapBytesMax: 2 * config.BUFFER_BYTES_MAX + mapBytesExtra,
    });
  const committer = createCommitter({
    store,
    lingerMs: config.COMMIT_LINGER_MS,
    retry: { minMs: config.COMMIT_RETRY_MIN_MS, maxMs: config.COMMIT_RETRY_MAX_MS },
    onState: (state) => logState(log, state),
    onCommit: ({ commitMs }) => metrics.commitMs(commitMs),
  });
  const messages = await openMessageLog(store, committer);
  return { store, committer, messages, sessions: new Sessions(store, committer, messages) };
}

function composeIntake(
  { messages, committer, sessions }: Keeping,
  { config, log }: Context,
  crash: CrashHook,
  limits: { bytesMax: number; messagesMax: number } | null,
  drain: DrainSession,
): Intake {
  return createIntake({
    log: messages,
    committer,
    queues: sessions,
    crash,
    limits,
    lingerMessagesMax: config.COMMIT_LINGER_MESSAGES_MAX,
    now: Date.now,
    onHeld: (held) => logState(log, held ? bufferLimit : { state: 'ok', reason: null }),
    onDeliverable: () => drain.wake(),
  });
}

function composeBroker(
  { config, log, metrics, parts }: Context,
  { store, committer, sessions }: Keeping,
  intakeFor: (identity: Identity) => Intake,
): Broker {
  return createBroker({
    log,
    access: { secret: config.MESH_SECRET, allowAnonymous: config.ALLOW_ANONYMOUS },
    intakeFor,
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
    heartbeatIntervalMs: parts.heartbeatIntervalMs ?? heartbeatIntervalMs,
    publishBytesMax: config.PUBLISH_BYTES_MAX,
    subscriberBufferBytesMax: config.SUBSCRIBER_BUFFER_BYTES_MAX,
    events: metrics,
  });
}

function logState(log: Log, { state, reason }: StoreState): void {
  if (state === 'ok') log.info({ event: 'store.recovered' });
  else log.error({ event: state === 'full' ? 'store.full' : 'store.failing', reason });
}
