/**
 * Sends commands straight to the connections of a device. Such a message is in no session and in no
 * queue, because a command must not be delivered after its deadline (I9): its sender repeats it
 * instead.
 */
import type { Socket } from 'node:net';
import type { Aedes, Client } from 'aedes';
import { commandTopic, statusTopic } from '@thermomesh/contracts';
import type { Log } from '@thermomesh/runtime';
import mqtt, { type Packet } from 'mqtt-packet';
import type { Identity } from '../core/access.ts';
import type { LmdbPersistence } from './aedes-persistence.ts';
import type { Parser } from './packet-rules.ts';

/** The connections of the devices at this broker. */
export interface DeviceLinks {
  /** True if the device is connected and subscribes to its commands. */
  listens(deviceId: string): boolean;
  /**
   * Sends a command at QoS 1 to the present connections of the device. A connection whose device
   * has not sent the PUBACK within `withinMs` is reset, so that nothing that waits in its buffers
   * arrives later.
   * @returns the number of connections
   */
  send(deviceId: string, payload: Buffer, withinMs: number): number;
  /** Receives each device that begins to listen. */
  onListening(handler: (deviceId: string) => void): void;
  /** Receives each status message of a device. */
  onStatus(handler: (deviceId: string, payload: Buffer) => void): void;
}

export interface DeviceLinksOptions {
  log: Log;
  persistence: Pick<LmdbPersistence, 'isInFlight'>;
  identityOf: (client: Client) => Identity | undefined;
  /** Number of unsent bytes above which a connection gets no command. */
  subscriberBufferBytesMax: number;
}

/** The links, and the events of the broker that they follow. */
export interface DeviceLinksPart {
  links: DeviceLinks;
  follow(aedes: Aedes): void;
  /** A device has published a message, which its broker accepts. */
  readonly published: (identity: Identity, topic: string, payload: Buffer) => void;
}

/** The parts of a client of Aedes that are not public. */
interface Internals {
  subscriptions: Record<string, { qos: 0 | 1 | 2 } | undefined>;
  _nextId: number;
  _parser: Parser;
}

const internalsOf = (client: Client) => client as unknown as Internals;
const packetIdMax = 65_535;
/** The longest time that a timer can wait; a later deadline needs no reset before. */
const timerMsMax = 2 ** 31 - 1;

export function createDeviceLinks(options: DeviceLinksOptions): DeviceLinksPart {
  const clients = new Map<string, Set<Client>>();
  const confirmations = new WeakMap<Client, Confirmations>();
  let onListening: (deviceId: string) => void = () => undefined;
  let onStatus: (deviceId: string, payload: Buffer) => void = () => undefined;

  /** A client with the identity of a device, if it subscribes to its commands. */
  function enter(client: Client): void {
    const identity = options.identityOf(client);
    if (identity?.kind !== 'device' || client.closed || grantedQos(client, identity.deviceId) === undefined)
      return;
    const { deviceId } = identity;
    const known = clients.get(deviceId) ?? new Set();
    clients.set(deviceId, known);
    if (!known.has(client)) {
      known.add(client);
      client.conn.once('close', () => {
        known.delete(client);
        if (known.size === 0 && clients.get(deviceId) === known) clients.delete(deviceId);
      });
    }
    onListening(deviceId);
  }

  function listening(deviceId: string): Client[] {
    return [...(clients.get(deviceId) ?? [])].filter(
      (client) => !client.closed && grantedQos(client, deviceId) !== undefined,
    );
  }

  function confirmationsOf(client: Client): Confirmations {
    const known = confirmations.get(client) ?? new Confirmations(client, options.log);
    confirmations.set(client, known);
    return known;
  }

  function sendTo(client: Client, deviceId: string, payload: Buffer, withinMs: number): boolean {
    if ((client.conn as Socket).writableLength > options.subscriberBufferBytesMax) return false;
    const qos = grantedQos(client, deviceId) === 0 ? 0 : 1;
    const packet = {
      cmd: 'publish',
      topic: commandTopic(deviceId),
      payload,
      dup: false,
      retain: false,
    } as const;
    if (qos === 0) return write(client, { ...packet, qos });
    const own = confirmationsOf(client);
    const messageId = freePacketId(client, options.persistence, own);
    own.expect(messageId, withinMs);
    return write(client, { ...packet, qos, messageId });
  }

  return {
    links: {
      listens: (deviceId) => listening(deviceId).length > 0,
      send: (deviceId, payload, withinMs) =>
        listening(deviceId).filter((client) => sendTo(client, deviceId, payload, withinMs)).length,
      onListening(handler) {
        onListening = handler;
      },
      onStatus(handler) {
        onStatus = handler;
      },
    },
    follow(aedes) {
      aedes.on('subscribe', (_subscriptions, client) => enter(client));
      // A resumed session has its subscriptions before its CONNACK, and sends no SUBSCRIBE.
      aedes.on('clientReady', (client) => enter(client));
    },
    published(identity, topic, payload) {
      if (identity.kind === 'device' && topic === statusTopic(identity.deviceId))
        onStatus(identity.deviceId, payload);
    },
  };
}

/** The QoS of the client's subscription to its commands; undefined without one. */
function grantedQos(client: Client, deviceId: string): 0 | 1 | 2 | undefined {
  const { subscriptions } = internalsOf(client);
  const topic = commandTopic(deviceId);
  return Object.hasOwn(subscriptions, topic) ? subscriptions[topic]?.qos : undefined;
}

function write(client: Client, packet: Packet): boolean {
  mqtt.writeToStream(packet, client.conn);
  return true;
}

/** A packet id that neither the session nor another command uses [MQTT-2.3.1-4]. */
function freePacketId(
  client: Client,
  persistence: DeviceLinksOptions['persistence'],
  own: Confirmations,
): number {
  const internals = internalsOf(client);
  let id: number;
  do {
    id = internals._nextId;
    internals._nextId = (id % packetIdMax) + 1;
  } while (own.expects(id) || persistence.isInFlight(client, id));
  return id;
}

/** The commands on one connection that its device has not confirmed with PUBACK. */
class Confirmations {
  readonly #client: Client;
  readonly #log: Log;
  readonly #timers = new Map<number, NodeJS.Timeout>();

  constructor(client: Client, log: Log) {
    this.#client = client;
    this.#log = log;
    internalsOf(client)._parser.on('packet', (packet: Packet) => {
      if (packet.cmd === 'puback') this.#confirmed(packet.messageId);
    });
    client.conn.once('close', () => {
      for (const timer of this.#timers.values()) clearTimeout(timer);
      this.#timers.clear();
    });
  }

  expects(messageId: number): boolean {
    return this.#timers.has(messageId);
  }

  expect(messageId: number, withinMs: number): void {
    this.#timers.set(
      messageId,
      setTimeout(() => this.#reset(), Math.min(withinMs, timerMsMax)),
    );
  }

  #confirmed(messageId: number | undefined): void {
    if (messageId === undefined) return;
    clearTimeout(this.#timers.get(messageId));
    this.#timers.delete(messageId);
  }

  /** RST, not FIN: the system drops what it has not yet sent. */
  #reset(): void {
    if (this.#client.closed) return;
    this.#log.warn({ event: 'command.connection_reset', clientId: this.#client.id });
    const socket = this.#client.conn as Socket;
    if (typeof socket.resetAndDestroy === 'function') socket.resetAndDestroy();
    else socket.destroy();
  }
}
