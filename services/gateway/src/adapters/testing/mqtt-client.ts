/** A small MQTT 3.1.1 client on a socket for tests: it does only what the test says, so that a test may also misbehave. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import mqtt, {
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
} from 'mqtt-packet';

export interface TestClient {
  readonly socket: Socket;
  /** Everything that came, in order. */
  readonly received: Packet[];
  readonly closed: boolean;
  send(packet: Packet): void;
  /** The first packet, of those that came or will come, that `wanted` accepts; each is given out once. */
  next<C extends Packet['cmd']>(cmd: C, timeoutMs?: number): Promise<Extract<Packet, { cmd: C }>>;
  /** PUBLISH at QoS 1 and its PUBACK. */
  publish(topic: string, payload: string | Buffer, more?: Partial<IPublishPacket>): Promise<void>;
  publishes(): IPublishPacket[];
  untilClosed(timeoutMs?: number): Promise<void>;
  end(): void;
  destroy(): void;
}

/** Resolves when `condition` holds. @throws Error after `timeoutMs` */
export async function until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function openSocket(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** A client on an open socket; nothing has been sent yet. */
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
      await until(() => find() >= 0 || closed, `a ${cmd}`, timeoutMs);
      const index = find();
      if (index < 0) throw new Error(`the connection closed before a ${cmd}`);
      return pending.splice(index, 1)[0] as never;
    },
    async publish(topic, payload, more = {}) {
      const messageId = nextId++;
      client.send({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId, ...more });
      await client.next('puback');
    },
    publishes: () => received.filter((packet) => packet.cmd === 'publish'),
    untilClosed: (timeoutMs = 10_000) => until(() => closed, 'the end of the connection', timeoutMs),
    end: () => void socket.end(mqtt.generate({ cmd: 'disconnect' })),
    destroy: () => socket.destroy(),
  };
  return client;
}

/** Connects and sends a CONNECT; resolves with the CONNACK, whatever it says. */
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
