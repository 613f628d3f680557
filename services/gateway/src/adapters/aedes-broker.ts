/** Aedes, wired: who may connect, publish and subscribe, and the durable acknowledgement in `authorizePublish` (I1). */
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
import { createRelay } from './relay.ts';

export interface BrokerOptions {
  log: Log;
  access: AccessOptions;
  /** Devices are held back by the buffer limit, the mesh's own clients are not. */
  intakeFor: (identity: Identity) => Intake;
  persistence: unknown;
  connectTimeoutMs: number;
  publishBytesMax: number;
  subscriberBufferBytesMax: number;
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

/** Messages of the log carry this broker id: one per publisher, because order holds per publisher only. */
export const logBrokerPrefix = 'log/';

export function createBroker(options: BrokerOptions): Broker {
  const { log, access, events } = options;
  const identities = new WeakMap<Client, Identity>();
  const wills = new WeakMap<Client, string>();

  const aedes = new Aedes({
    mq: createRelay(),
    persistence: options.persistence,
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
      const identity = client === null ? undefined : identities.get(client);
      if (client === null || identity === undefined || !mayPublish(identity, packet.topic)) {
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
    client: Client,
    identity: Identity,
    packet: PublishPacket,
    callback: (error?: Error | null) => void,
  ): void {
    options.intakeFor(identity).publish({
      topic: packet.topic,
      payload: Buffer.from(packet.payload as Buffer),
      qos: packet.qos as 1 | 2,
      retain: packet.retain,
      publisher: client.id,
      alongside: [],
      wanted: () => !client.closed,
      done(logId) {
        const stored = packet as AedesPublishPacket;
        stored.brokerId = logBrokerPrefix + client.id;
        stored.brokerCounter = logId;
        callback(null);
      },
    });
  }

  function mayReceive(client: Client, packet: AedesPublishPacket): boolean {
    const identity = identities.get(client);
    if (identity?.kind === 'device' && packet.topic !== commandTopic(identity.deviceId)) return false;
    if ((client.conn as Socket).writableLength <= options.subscriberBufferBytesMax) return true;
    events.slowSubscriber();
    log.warn({ event: 'subscriber.too_slow', clientId: client.id });
    client.conn.destroy();
    return false;
  }

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
