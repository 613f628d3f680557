/** Aedes, wired: logins, rights, and the gates through which messages come in and go out. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import type { Log } from '@thermomesh/runtime';
import { identify, mayPublish, maySubscribe, type AccessOptions, type Identity } from '../core/access.ts';
import type { Intake } from '../core/intake.ts';
import type { LmdbPersistence } from './aedes-persistence.ts';
import { createForwardGate } from './forward-gate.ts';
import { createPublishGate, type PublishEvents } from './publish-gate.ts';
import { createRelay } from './relay.ts';

export interface BrokerOptions {
  log: Log;
  access: AccessOptions;
  intakeFor: (identity: Identity) => Intake;
  /** Made here, because it asks who a client is. */
  persistence: (identityOf: (client: object) => Identity | undefined) => LmdbPersistence;
  connectTimeoutMs: number;
  /** How often Aedes looks for wills that a former process left, as a quarter. */
  heartbeatIntervalMs: number;
  publishBytesMax: number;
  subscriberBufferBytesMax: number;
  subscriberWindowMax: number;
  inFlight: (clientId: string) => number;
  events: BrokerEvents;
}

export interface BrokerEvents extends PublishEvents {
  refusedConnection(): void;
  slowSubscriber(): void;
}

export interface Broker {
  start(): Promise<void>;
  accept(socket: Socket): void;
  isConnected(clientId: string): boolean;
  close(): Promise<void>;
}

export function createBroker(options: BrokerOptions): Broker {
  const { log, events } = options;
  const identities = new WeakMap<object, Identity>();
  const identityOf = (client: object) => identities.get(client);
  const persistence = options.persistence(identityOf);
  const incoming = createPublishGate({ ...options, persistence, identityOf });
  const onSlowSubscriber = () => events.slowSubscriber();
  const mayForward = createForwardGate({ ...options, persistence, identityOf, onSlowSubscriber });
  const wills = new WeakMap<Client, string>();

  const aedes = new Aedes({
    mq: createRelay(),
    persistence,
    connectTimeout: options.connectTimeoutMs,
    heartbeatInterval: options.heartbeatIntervalMs,
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
      else {
        events.refusedConnection();
        log.warn({ event: 'connection.refused', reason: 'not authorized', clientId: client.id, username });
      }
      done(null, allowed);
    },
    authorizePublish: (client, packet, done) => incoming.authorize(client, packet, done),
    authorizeSubscribe(client, subscription, done) {
      const identity = identityOf(client);
      const allowed = identity !== undefined && maySubscribe(identity, subscription.topic);
      if (!allowed) {
        log.warn({ event: 'subscribe.refused', clientId: client.id, topic: subscription.topic });
      }
      // Null is answered with 0x80 [MQTT 3.1.1, 3.9.3].
      done(null, allowed ? subscription : null);
    },
    authorizeForward: (client, packet) => (mayForward(client, packet) ? packet : null),
  });
  logFaults(aedes, log);

  return {
    start: () => aedes.listen(),
    accept(socket) {
      const client = aedes.handle(socket);
      limitPackets(client, options.publishBytesMax, () => incoming.tooLarge(client));
    },
    isConnected: (clientId) => Object.hasOwn(clientsOf(aedes), clientId),
    close: () => new Promise((resolve) => aedes.close(resolve)),
  };
}

function logFaults(aedes: Aedes, log: Log): void {
  // Aedes emits this when the persistence fails under it; the store says the same by its state.
  (aedes as EventEmitter).on('error', (error: Error) => {
    log.error({ event: 'broker.failed', reason: error.message });
  });
  aedes.on('clientError', (client, error) => {
    log.debug({ event: 'client.failed', clientId: client.id, reason: error.message });
  });
  aedes.on('connectionError', (_client, error) => {
    log.debug({ event: 'connection.failed', reason: error.message });
  });
}

function clientsOf(aedes: Aedes): Record<string, Client> {
  return (aedes as unknown as { clients: Record<string, Client> }).clients;
}

/** The parts of Aedes' client and its parser that the guard below needs; neither is public. */
interface Parsing {
  _parser: { parse(chunk: Buffer): number; packet: { length: number } };
}

/** Topic, packet id and lengths of a PUBLISH beside its payload. */
const publishOverheadBytes = 2048;

/**
 * Closes the connection as soon as a packet announces that it is too large, before its bytes are gathered: the parser would keep
 * up to 256 MiB.
 */
function limitPackets(client: Client, publishBytesMax: number, onTooLarge: () => void): void {
  const parser = (client as unknown as Parsing)._parser;
  const parse = parser.parse.bind(parser);
  parser.parse = (chunk) => {
    const left = parse(chunk);
    if (parser.packet.length > publishBytesMax + publishOverheadBytes && !client.closed) {
      onTooLarge();
      client.conn.destroy();
    }
    return left;
  };
}
