/** Composes the broker: who gets which part. */
import path from 'node:path';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import { createAedesBroker, type AedesBroker } from './adapters/aedes-broker.ts';
import { LmdbPersistence } from './adapters/aedes-persistence.ts';
import { createBestEffort, type BestEffort } from './adapters/best-effort.ts';
import { createDrainSession, type DrainSession } from './adapters/drain-session.ts';
import { openLmdbStore } from './adapters/lmdb-store.ts';
import { createMqttListener, type MqttListener } from './adapters/mqtt-listener.ts';
import type { PublishNotices } from './adapters/publish-gate.ts';
import { maySubscribe, type Identity } from './core/access.ts';
import { connectOverheadBytesMax } from './core/connect-sniffer.ts';
import type { MessageLog } from './core/message-log.ts';
import type { Store } from './core/ports.ts';
import type { BrokerMetrics } from './metrics.ts';
import type { BrokerOptions, BufferLimits } from './settings.ts';
import { createCommitter, type Committer, type StoreState } from './storage/committer.ts';
import { createIntake, type Intake } from './storage/intake.ts';
import { createKeptExpiry, type KeptExpiry } from './storage/kept-expiry.ts';
import { openMessageLog } from './storage/message-log.ts';
import { rememberDatabase } from './storage/remembered-database.ts';
import { createSessionExpiry, type SessionExpiry } from './storage/session-expiry.ts';
import type { DropReason } from './storage/session.ts';
import { Sessions } from './storage/sessions.ts';

/** Replacements for parts of the broker, for tests. */
export interface BrokerParts {
  /** A store that tests can hold and fail, in place of LMDB. */
  store?: Store;
  /**
   * Broker heartbeat. Wills left by a crashed process are published after four missed heartbeats.
   */
  heartbeatIntervalMs?: number;
}

/** The parts that keep messages and sessions. */
export interface MessageStorage {
  store: Store;
  committer: Committer;
  messages: MessageLog;
  sessions: Sessions;
}

/** The parts that exist only between start and stop. */
export interface RunningBroker extends MessageStorage {
  /** Takes publishes of devices, which the buffer limit holds back. */
  devices: Intake;
  /** Takes publishes of the mesh's own clients: the coordinator must be able to announce itself. */
  mesh: Intake;
  drain: DrainSession;
  /** Readings at QoS 0, and notices about devices. */
  bestEffort: BestEffort;
  aedes: AedesBroker;
  expiry: SessionExpiry;
  keptExpiry: KeptExpiry;
  listener: MqttListener;
}

/** Everything from which the broker is composed. */
export interface BrokerContext {
  options: BrokerOptions;
  log: Log;
  metrics: BrokerMetrics;
  crash: CrashHook;
  parts: BrokerParts;
}

/**
 * Address space of the store beyond twice the buffer limit, that of the sessions and that of the
 * kept messages: for subscriptions, queue entries, retained messages and free pages.
 */
const mapBytesExtra = 2 ** 30;
/**
 * Maximum number of messages sent to one persistent session and not acknowledged; well below the
 * 65,535 packet ids of MQTT.
 */
const subscriberWindowMax = 20_000;
const heartbeatIntervalMs = 60_000;
/** How often the coordinator gets a report about devices. */
const reportIntervalMs = 500;
/** The limits of sessions, for people. */
const fullReasons: Record<DropReason, string> = {
  queue_full: 'its queue is full',
  sessions_full: 'the sessions hold too many bytes',
};
const bufferLimitReached: StoreState = { state: 'full', reason: 'the buffer limit is reached' };

/** Opens the store and composes the broker around it; nothing listens yet. */
export async function compose(context: BrokerContext): Promise<RunningBroker> {
  const { options, log, metrics, crash } = context;
  const storage = await openMessageStorage(context);
  const { messages } = storage;
  const bestEffort = createBestEffort({
    ...options.qos0,
    log: messages.uuid,
    reportIntervalMs,
    now: Date.now,
    onDropped: () => metrics.qos0Dropped(),
    onReading: () => drain.wake(),
  });
  const drain = createDrainSession({
    bestEffort,
    log,
    messages,
    database: rememberDatabase(storage.store, storage.committer),
    crash,
    secret: options.secret,
    connectTimeoutMs: options.connectTimeoutMs,
    limits: options.drainWindow,
    onRefused: () => metrics.refusedConnection(),
  });
  const devices = composeIntake(context, storage, options.buffer, drain);
  const mesh = composeIntake(context, storage, null, drain);
  messages.onFreed = () => devices.resume();
  const expiry = createSessionExpiry({
    ...storage,
    expiryMs: options.sessions.expiryMs,
    isConnected: (clientId) => aedes.isConnected(clientId),
    now: () => performance.now(),
    onExpired: (clientId, queued) => log.warn({ event: 'session.expired', clientId, queued }),
  });
  const intakeFor = ({ kind }: Identity) => (kind === 'device' ? devices : mesh);
  const aedes = composeAedes(context, storage, intakeFor, expiry, bestEffort);
  const listener = createMqttListener({
    host: options.host,
    port: options.port,
    connectionsMax: options.connectionsMax,
    connectTimeoutMs: options.connectTimeoutMs,
    connectBytesMax: options.publishBytesMax + connectOverheadBytesMax,
    log,
    onDrain: (socket, first) => drain.accept(socket, first),
    onClient: (socket) => aedes.accept(socket),
    onRefused: () => metrics.refusedConnection(),
  });
  const keptExpiry = createKeptExpiry(messages, options.kept.keptMs);
  return { ...storage, devices, mesh, drain, bestEffort, aedes, expiry, keptExpiry, listener };
}

/** The state of the store; a reached buffer limit counts as full. */
export function storeState({ committer, devices }: RunningBroker): StoreState {
  return committer.state.state === 'ok' && devices.held ? bufferLimitReached : committer.state;
}

async function openMessageStorage({ options, log, metrics, parts }: BrokerContext): Promise<MessageStorage> {
  const store =
    parts.store ??
    (await openLmdbStore({
      path: path.join(options.dataFolder, 'store'),
      mapBytesMax:
        2 * options.buffer.bytesMax + options.sessions.bytesMax + 2 * options.kept.bytesMax + mapBytesExtra,
    }));
  let giveUpKept = () => {};
  const committer = createCommitter({
    store,
    lingerMs: options.commit.lingerMs,
    retry: options.commit.retry,
    onState: (state) => {
      logState(log, state);
      // Readings that wait for space are worth more than those that the database has.
      if (state.state === 'full') giveUpKept();
    },
    onCommit: ({ commitMs }) => metrics.commitMs(commitMs),
  });
  const messages = await openMessageLog(store, committer, { ...options.kept, now: () => performance.now() });
  giveUpKept = () => messages.giveUpKept();
  const sessions = new Sessions(store, committer, messages, {
    ...options.sessions,
    onFull: (clientId, reason) =>
      log.warn({ event: 'session.full', clientId, reason: fullReasons[reason], limit: reason }),
    onDropped: (reason) => metrics.droppedForSession(reason),
  });
  return { store, committer, messages, sessions };
}

/** @param limits null for publishers that the buffer limit does not hold back */
function composeIntake(
  { options, log, crash }: BrokerContext,
  { messages, committer, sessions }: MessageStorage,
  limits: BufferLimits | null,
  drain: DrainSession,
): Intake {
  return createIntake({
    messages,
    committer,
    queues: sessions,
    crash,
    limits,
    lingerMessagesMax: options.commit.lingerMessagesMax,
    now: Date.now,
    onHeld: (held) => logState(log, held ? bufferLimitReached : { state: 'ok', reason: null }),
    onDeliverable: () => drain.wake(),
  });
}

function composeAedes(
  { options, log, metrics, parts }: BrokerContext,
  { store, committer, sessions }: MessageStorage,
  intakeFor: (identity: Identity) => Intake,
  expiry: SessionExpiry,
  notices: PublishNotices,
): AedesBroker {
  return createAedesBroker({
    log,
    access: { secret: options.secret, allowAnonymous: options.allowAnonymous },
    intakeFor,
    persistence: (identityOf) =>
      new LmdbPersistence({
        store,
        committer,
        sessions,
        windowMessagesMax: subscriberWindowMax / 2,
        onSessionFailed: (error) => {
          // The store is closing: the session is not kept, and its client begins another one.
          if (codeOf(error) !== 'store.closed') throw error;
        },
        identityOf,
        maySubscribe: (client, filter) => {
          const identity = identityOf(client);
          return identity !== undefined && maySubscribe(identity, filter);
        },
      }),
    subscriberWindowMax,
    inFlight: (clientId) => sessions.inFlight(clientId),
    onSessionEntered: (clientId) => expiry.enter(clientId),
    connectTimeoutMs: options.connectTimeoutMs,
    heartbeatIntervalMs: parts.heartbeatIntervalMs ?? heartbeatIntervalMs,
    publishBytesMax: options.publishBytesMax,
    subscriberBufferBytesMax: options.subscriberBufferBytesMax,
    events: metrics,
    notices,
  });
}

function logState(log: Log, { state, reason }: StoreState): void {
  if (state === 'ok') log.info({ event: 'store.recovered' });
  else log.error({ event: state === 'full' ? 'store.full' : 'store.failing', reason });
}
