/**
 * A small MQTT 3.1.1 client on a socket for tests. It sends only what the test asks for, so a test
 * can also break the protocol.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from '@thermomesh/testing';
import mqtt, {
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
} from 'mqtt-packet';

export type Qos = IPublishPacket['qos'];

/** A connection of a test to the broker. */
export interface TestClient {
  readonly socket: Socket;
  /** All packets that came, in their order. */
  readonly received: Packet[];
  readonly closed: boolean;
  send(packet: Packet): void;
  /** The next packet of the kind `cmd`, of those that came or will come; each is returned once. */
  next<C extends Packet['cmd']>(cmd: C, timeoutMs?: number): Promise<Extract<Packet, { cmd: C }>>;
  /** Sends a PUBLISH at QoS 1, without waiting for an answer. */
  sendPublish(topic: string, payload: string | Buffer, more?: Partial<IPublishPacket>): void;
  /** Subscribes and returns the granted QoS of each filter. */
  subscribe(filters: string | readonly string[], qos?: Qos): Promise<number[]>;
  /** Publishes at QoS 1 and waits for the PUBACK. */
  publish(topic: string, payload: string | Buffer, more?: Partial<IPublishPacket>): Promise<void>;
  publishes(): IPublishPacket[];
  /** The payloads of all messages that came, as text. */
  texts(): string[];
  untilClosed(timeoutMs?: number): Promise<void>;
  end(): void;
  destroy(): void;
}

/** Opens a TCP connection to the broker. */
export async function openSocket(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** A client on an open socket; it has sent nothing yet. */
export function wrap(socket: Socket): TestClient {
  const parser = mqtt.parser({ protocolVersion: 4 });
  const received: Packet[] = [];
  const pending: Packet[] = [];
  let closed = false;
  let nextId = 1;
  parser.on('packet', (packet: Packet) => {
    received.push(packet);
    pending.push(packet);
  });
  socket.on('data', (chunk: Buffer) => parser.parse(chunk));
  socket.on('close', () => (closed = true));
  const client: TestClient = {
    socket,
    received,
    get closed() {
      return closed;
    },
    send: (packet) => void socket.write(mqtt.generate(packet)),
    async next(cmd, timeoutMs = 10_000) {
      const find = () => pending.findIndex((packet) => packet.cmd === cmd);
      await until(`a ${cmd}`, () => find() >= 0 || closed, { timeoutMs });
      const index = find();
      if (index < 0) throw new Error(`the connection closed before a ${cmd}`);
      return pending.splice(index, 1)[0] as never;
    },
    sendPublish(topic, payload, more = {}) {
      const messageId = nextId++;
      client.send({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId, ...more });
    },
    async subscribe(filters, qos = 1) {
      const subscriptions = [filters].flat().map((topic) => ({ topic, qos }));
      client.send({ cmd: 'subscribe', messageId: nextId++, subscriptions });
      return (await client.next('suback')).granted as number[];
    },
    async publish(topic, payload, more = {}) {
      client.sendPublish(topic, payload, more);
      await client.next('puback');
    },
    publishes: () => received.filter((packet) => packet.cmd === 'publish'),
    texts: () => client.publishes().map(({ payload }) => payload.toString()),
    untilClosed: (timeoutMs = 10_000) => until('the end of the connection', () => closed, { timeoutMs }),
    end: () => void socket.end(mqtt.generate({ cmd: 'disconnect' })),
    destroy: () => socket.destroy(),
  };
  return client;
}

/** Connects and sends a CONNECT; resolves with the CONNACK, also if it is a refusal. */
export async function connectClient(
  port: number,
  options: Partial<IConnectPacket> & { clientId: string },
): Promise<{ client: TestClient; connack: IConnackPacket }> {
  const client = wrap(await openSocket(port));
  client.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    ...options,
  });
  return { client, connack: await client.next('connack') };
}
