/** Aedes, wired: who may connect, publish and subscribe, and the durable acknowledgement in `authorizePublish` (I1). */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Aedes, type AedesPublishPacket, type Client, type Connection, type PublishPacket } from 'aedes';
import { commandTopic, deviceOfDataTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import {
  identify,
  mayPublish,
  maySubscribe,
  storedTopic,
  type AccessOptions,
  type Identity,
} from '../core/access.ts';
import type { Intake } from '../core/intake.ts';
import type { Operation } from '../core/store.ts';
import { matches } from '../core/topic-tree.ts';
import {
  incomingOperation,
  logBrokerPrefix,
  retainedOperation,
  type LmdbPersistence,
} from './aedes-persistence.ts';
import { createRelay } from './relay.ts';

export interface BrokerOptions {
  log: Log;
  access: AccessOptions;
  /** Devices are held back by the buffer limit, the mesh's own clients are not. */
  intakeFor: (identity: Identity) => Intake;
  /** Made here, because it asks who a client is. */
  persistence: (identityOf: (client: object) => Identity | undefined) => LmdbPersistence;
  connectTimeoutMs: number;
  publishBytesMax: number;
  subscriberBufferBytesMax: number;
  /** Sent to one persistent session and not acknowledged; above it the subscriber is disconnected. */
  subscriberWindowMax: number;
  /** Entries sent to a session and not acknowledged. */
  inFlight: (clientId: string) => number;
  events: BrokerEvents;
}

export interface BrokerEvents {
  refusedConnection(): void;
  refusedPublish(reason: 'not_allowed' | 'too_large'): void;
  qos0Reading(): void;
  slowSubscriber(): void;
}

export interface Broker {
  start(): Promise<void>;
  accept(socket: Socket): void;
  isConnected(clientId: string): boolean;
  close(): Promise<void>;
}

export function createBroker(options: BrokerOptions): Broker {
  const { log, access, events } = options;
  const identities = new WeakMap<object, Identity>();
  const persistence = options.persistence((client) => identities.get(client));
  const wills = new WeakMap<Client, string>();

  const aedes = new Aedes({
    mq: createRelay(),
    persistence,
    connectTimeout: options.connectTimeoutMs,
    preConnect(client, packet, callback) {
      if (packet.will !== undefined) wills.set(client, packet.will.topic);
      callback(null, true);
    },
    authenticate(client, username, password, done) {
      const identity = identify(
        { clientId: client.id, username, password: password?.toString() },
        access,
      );
      const will = wills.get(client);
      const allowed = identity !== undefined && (will === undefined || mayPublish(identity, will));
      if (allowed) identities.set(client, identity);
      else {
        events.refusedConnection();
        log.warn({ event: 'connection.refused', reason: 'not authorized', clientId: client.id, username });
      }
      done(null, allowed);
    },
    authorizePublish(client, packet, callback) {
      // A will is published for a client that has gone, perhaps before this process started.
      const identity = client === null ? persistence.identityOfWill(packet) : identities.get(client);
      if (identity === undefined || !mayPublish(identity, packet.topic)) {
        events.refusedPublish('not_allowed');
        log.warn({ event: 'publish.refused', clientId: client?.id, topic: packet.topic });
        return callback(new Error('publish not allowed'));
      }
      packet.topic = storedTopic(identity, packet.topic);
      if (packet.qos === 0) {
        if (deviceOfDataTopic(packet.topic) !== undefined) events.qos0Reading();
        return callback(null);
      }
      store(client, identity, packet, callback);
    },
    authorizeSubscribe(client, subscription, callback) {
      const identity = identities.get(client);
      const allowed = identity !== undefined && maySubscribe(identity, subscription.topic);
      if (!allowed) {
        log.warn({ event: 'subscribe.refused', clientId: client.id, topic: subscription.topic });
      }
      // Null is answered with 0x80 [MQTT 3.1.1, 3.9.3].
      callback(null, allowed ? subscription : null);
    },
    authorizeForward: (client, packet) => (mayReceive(client, packet) ? packet : null),
  });

  /** I1: `callback` sends the PUBACK, so it is called when the message is durable and not before. */
  function store(
    client: Client | null,
    identity: Identity,
    packet: PublishPacket,
    callback: (error?: Error | null) => void,
  ): void {
    const publisher = client?.id ?? 'will';
    // A QoS 2 publish that is sent again is stored already; Aedes answers it with PUBREC [MQTT-4.3.3-2].
    if (client !== null && packet.qos === 2 && persistence.knowsIncoming(client, packet)) return callback(null);
    const payload = Buffer.from(packet.payload as Buffer);
    const alongside: Operation[] = [];
    if (packet.retain) alongside.push(retainedOperation({ ...packet, payload, dup: false }));
    if (packet.qos === 2 && packet.messageId !== undefined) {
      alongside.push(incomingOperation(publisher, { ...packet, payload } as AedesPublishPacket));
    }
    const isWill = packet.messageId === undefined;
    options.intakeFor(identity).publish({
      topic: packet.topic,
      payload,
      qos: packet.qos as 1 | 2,
      alongside,
      wanted: () => isWill || client?.closed === false,
      done(logId) {
        const stored = packet as AedesPublishPacket;
        stored.brokerId = logBrokerPrefix + publisher;
        stored.brokerCounter = logId;
        callback(null);
      },
    });
  }

  function mayReceive(client: Client, packet: AedesPublishPacket): boolean {
    const identity = identities.get(client);
    if (identity?.kind === 'device' && packet.topic !== commandTopic(identity.deviceId)) return false;
    if ((client.conn as Socket).writableLength > options.subscriberBufferBytesMax) {
      return disconnectSlow(client, 'its buffer is full');
    }
    if (packet.qos === 0) return true;
    if (packet.messageId !== undefined) {
      // From the session's queue, not live.
      if (persistence.isRedelivery(packet)) packet.dup = true;
      return true;
    }
    return mayReceiveLive(client, packet);
  }

  /** A live message at QoS 1 or 2. */
  function mayReceiveLive(client: Client, packet: AedesPublishPacket): boolean {
    const granted = grantedQos(client, packet.topic);
    // Aedes would send it at the publisher's QoS if the filter has wildcards [MQTT-3.8.4-6].
    if (granted > 0 && granted < packet.qos) packet.qos = granted;
    if (client.clean || granted === 0 || !packet.brokerId.startsWith(logBrokerPrefix)) return true;
    const catchUp = persistence.catchUpOf(client.id);
    // It stands in the session's queue, which is being delivered in order, or has been up to here.
    if (catchUp !== undefined && (catchUp.active || packet.brokerCounter <= catchUp.readUpTo)) return false;
    // Packet ids would wrap onto messages that are not acknowledged. What waits stays queued.
    if (options.inFlight(client.id) >= options.subscriberWindowMax) {
      return disconnectSlow(client, 'it does not acknowledge');
    }
    return true;
  }

  function disconnectSlow(client: Client, reason: string): false {
    if (!client.conn.destroyed) {
      events.slowSubscriber();
      log.warn({ event: 'subscriber.too_slow', clientId: client.id, reason });
      client.conn.destroy();
    }
    return false;
  }

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

  return {
    start: () => aedes.listen(),
    accept(socket) {
      const client = aedes.handle(socket as Connection);
      limitPackets(client, options.publishBytesMax, () => {
        events.refusedPublish('too_large');
        log.warn({ event: 'publish.too_large', clientId: client.id, bytesMax: options.publishBytesMax });
      });
    },
    isConnected: (clientId) => Object.hasOwn(clientsOf(aedes), clientId),
    close: () => new Promise((resolve) => aedes.close(resolve)),
  };
}

/** The highest QoS at which the client's subscriptions match `topic`. */
function grantedQos(client: Client, topic: string): 0 | 1 | 2 {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, { qos: 0 | 1 | 2 }> };
  let granted: 0 | 1 | 2 = 0;
  for (const [filter, { qos }] of Object.entries(subscriptions)) {
    if (qos > granted && matches(filter, topic)) granted = qos;
  }
  return granted;
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
