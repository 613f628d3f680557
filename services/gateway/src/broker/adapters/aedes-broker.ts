/** Configures Aedes: logins, rights, and the gates for incoming and outgoing messages. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import type { Log } from '@thermomesh/runtime';
import {
  clientIdBytesMax,
  emptySessionFilter,
  connectRefusal,
  identify,
  mayPublish,
  maySubscribe,
  subscribeRule,
  type AccessOptions,
  type Credentials,
  type Identity,
} from '../core/access.ts';
import type { Refusal } from '../core/device-notices.ts';
import type { Intake } from '../storage/intake.ts';
import type { LmdbPersistence } from './aedes-persistence.ts';
import { createDeliveryFilter } from './delivery-filter.ts';
import { replaceDelivery } from './delivery.ts';
import { createDeviceLinks, type DeviceLinks } from './device-links.ts';
import { createForwardGate } from './forward-gate.ts';
import { guardPackets } from './packet-guard.ts';
import { createPublishGate, type PublishEvents, type PublishNotices } from './publish-gate.ts';
import { createLiveRelay } from './live-relay.ts';
import { createRepeatedFilters } from './repeated-filters.ts';

export interface AedesOptions {
  log: Log;
  access: AccessOptions;
  intakeFor: (identity: Identity) => Intake;
  /** Makes the persistence, which needs the identities of clients. */
  persistence: (identityOf: (client: object) => Identity | undefined) => LmdbPersistence;
  connectTimeoutMs: number;
  /** Aedes publishes wills left by a crashed process after four missed heartbeats. */
  heartbeatIntervalMs: number;
  publishBytesMax: number;
  subscriberBufferBytesMax: number;
  subscriberWindowMax: number;
  /** Number of entries sent to a session and not acknowledged. */
  inFlight: (clientId: string) => number;
  /** Called before a client enters its persistent session; it waits for the promise, if any. */
  onSessionEntered: (clientId: string) => Promise<void> | undefined;
  events: BrokerEvents;
  notices: PublishNotices;
}

/** Events that the broker counts. */
export interface BrokerEvents extends PublishEvents {
  refusedConnection(): void;
  slowSubscriber(): void;
}

/** The broker for all clients except the drain session. */
export interface AedesBroker {
  start(): Promise<void>;
  accept(socket: Socket): void;
  isConnected(clientId: string): boolean;
  /** Connections of devices, for commands. */
  readonly links: DeviceLinks;
  close(): Promise<void>;
}

/**
 * Maximum number of packets that wait for the CONNACK of their connection. A client need not wait
 * for it [MQTT 3.1.1, 3.1.4]; the packets are from one read, so their bytes are bounded.
 */
const earlyPacketsMax = 65_536;

/** Configures Aedes; nothing runs before `start`. */
export function createAedesBroker(options: AedesOptions): AedesBroker {
  const { log, events } = options;
  const identities = new WeakMap<object, Identity>();
  const identityOf = (client: object) => identities.get(client);
  const persistence = options.persistence(identityOf);
  const devices = createDeviceLinks({ ...options, persistence, identityOf });
  const { published: onDevicePublish } = devices;
  const incoming = createPublishGate({ ...options, persistence, identityOf, onDevicePublish });
  const onSlowSubscriber = () => events.slowSubscriber();
  const filter = createDeliveryFilter();
  const mayForward = createForwardGate({ ...options, persistence, identityOf, filter, onSlowSubscriber });
  const wills = new WeakMap<Client, string>();
  const repeated = createRepeatedFilters();

  const aedes = new Aedes({
    mq: createLiveRelay(),
    persistence,
    connectTimeout: options.connectTimeoutMs,
    heartbeatInterval: options.heartbeatIntervalMs,
    queueLimit: earlyPacketsMax,
    preConnect(client, packet, callback) {
      if (packet.will !== undefined) wills.set(client, packet.will.topic);
      callback(null, true);
    },
    authenticate(client, username, password, done) {
      const credentials = { clientId: client.id, username, password: password?.toString() };
      const identity = identify(credentials, options.access);
      const will = wills.get(client);
      const allowed = identity !== undefined && (will === undefined || mayPublish(identity, will));
      if (allowed) identities.set(client, identity);
      else refuseConnect(options, credentials, will);
      if (Buffer.byteLength(client.id) > clientIdBytesMax) return done(identifierRejected(), false);
      const ending = allowed && !client.clean ? options.onSessionEntered(client.id) : undefined;
      if (ending === undefined) done(null, allowed);
      else void ending.then(() => done(null, allowed));
    },
    authorizePublish: (client, packet, done) => incoming.authorize(client, packet, done),
    authorizeSubscribe(client, subscription, done) {
      if (subscription.topic === emptySessionFilter) return done(null, null);
      const identity = identityOf(client);
      const { topic } = subscription;
      const allowed = identity !== undefined && maySubscribe(identity, topic);
      if (!allowed) noteRefusedFilter(options, client, identity, topic);
      // Aedes answers null with 0x80 [MQTT 3.1.1, 3.9.3].
      done(null, allowed ? subscription : null);
    },
    authorizeForward: (client, packet) => (mayForward(client, packet) ? packet : null),
  });
  logErrors(aedes, log);
  aedes.on('subscribe', (granted, client) => repeated.handled(client, granted));
  devices.follow(aedes);

  return {
    start: () => aedes.listen(),
    accept(socket) {
      const client = aedes.handle(socket);
      filter.replaceOwnFilter(client);
      replaceDelivery(client, { persistence, mayForward });
      guardPackets(client, {
        publishBytesMax: options.publishBytesMax,
        onTooLarge: () => incoming.tooLarge(client),
        onViolation: (reason) =>
          noteDevice(options, identityOf(client), () => ({ kind: 'protocol', reason, topic: null })),
        repeated,
      });
    },
    links: devices.links,
    isConnected: (clientId) => Object.hasOwn(clientsOf(aedes), clientId),
    close: () => new Promise((resolve) => aedes.close(resolve)),
  };
}

/** Counts a CONNECT that is refused, and names it to the owner of the device that it proves. */
function refuseConnect(
  { log, access, events, notices }: AedesOptions,
  credentials: Credentials,
  will: string | undefined,
): void {
  const { clientId, username } = credentials;
  events.refusedConnection();
  const refusal = connectRefusal(credentials, will, access);
  if (refusal !== undefined) {
    notices.refused(refusal.deviceId, { kind: 'connect', reason: refusal.reason, topic: will ?? null });
  }
  const reason = refusal?.reason ?? 'not authorized';
  log.warn({ event: 'connection.refused', reason, clientId, username });
}

function noteDevice(
  { notices }: AedesOptions,
  identity: Identity | undefined,
  refusal: (deviceId: string) => Refusal,
): void {
  if (identity?.kind === 'device') notices.refused(identity.deviceId, refusal(identity.deviceId));
}

function noteRefusedFilter(
  options: AedesOptions,
  client: Client,
  identity: Identity | undefined,
  topic: string,
): void {
  noteDevice(options, identity, (id) => ({ kind: 'subscribe', reason: subscribeRule(id), topic }));
  options.log.warn({ event: 'subscribe.refused', clientId: client.id, topic });
}

/** Aedes answers this with CONNACK 0x02 [MQTT-3.1.3-9]. */
function identifierRejected(): AuthenticateError {
  return Object.assign(new Error('the client id is too long'), { returnCode: 2 });
}

function logErrors(aedes: Aedes, log: Log): void {
  // Aedes emits this when its persistence fails; the state of the store shows the same failure.
  (aedes as EventEmitter).on('error', (err: Error) => {
    log.error({ event: 'broker.failed', err });
  });
  aedes.on('clientError', (client, err) => {
    log.debug({ event: 'client.failed', clientId: client.id, err });
  });
  aedes.on('connectionError', (_client, err) => {
    log.debug({ event: 'connection.failed', err });
  });
}

function clientsOf(aedes: Aedes): Record<string, Client> {
  return (aedes as unknown as { clients: Record<string, Client> }).clients;
}
