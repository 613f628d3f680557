/** One MQTT 3.1.1 connection on a socket, as a node needs it: mqtt.js acknowledges one packet at a time, a batch needs more. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { MeshError } from '@thermomesh/runtime';
import mqtt, { type IConnackPacket, type IConnectPacket, type Packet } from 'mqtt-packet';
import { createFrameReader } from '../core/mqtt-frames.ts';

export interface MqttAddress {
  host: string;
  port: number;
}

export interface MqttConnection {
  readonly socket: Socket;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  send(packet: Packet): void;
  /** The next packet of this kind. @throws MeshError `mqtt.closed`, `mqtt.timeout` */
  expect<C extends Packet['cmd']>(cmd: C, timeoutMs: number): Promise<Extract<Packet, { cmd: C }>>;
  /**
   * Messages at QoS 1; `payload` is a view into what was received. Those that came before the first listener are kept for it: the
   * backlog may follow the CONNACK in the same segment.
   */
  onPublish(listener: PublishListener): void;
  /** DISCONNECT and an orderly end of the stream. */
  end(): void;
  /** At once. */
  destroy(): void;
}

export type PublishListener = (topic: string, packetId: number, payload: Buffer) => void;

export interface ConnectOptions extends MqttAddress {
  clientId: string;
  username: string;
  password: string;
  clean: boolean;
  keepaliveSeconds: number;
  timeoutMs: number;
}

/** Connects and waits for the CONNACK. @throws MeshError `mqtt.unreachable` (retriable), `mqtt.refused` with the return code */
export async function connectMqtt(
  options: ConnectOptions,
): Promise<{ connection: MqttConnection; connack: IConnackPacket }> {
  const socket = connect({ host: options.host, port: options.port, noDelay: true });
  socket.on('error', () => undefined); // 'close' follows and tells the same
  const connection = wrap(socket);
  const timer = setTimeout(() => socket.destroy(), options.timeoutMs);
  try {
    await Promise.race([
      once(socket, 'connect'),
      connection.closed.then(() => Promise.reject(unreachable(options))),
    ]);
    connection.send(connectPacket(options));
    const connack = await connection.expect('connack', options.timeoutMs);
    if (connack.returnCode !== 0) {
      throw new MeshError(
        'mqtt.refused',
        `the gateway refused the connection with code ${connack.returnCode}`,
        { retriable: true },
      );
    }
    keepAlive(connection, options.keepaliveSeconds);
    return { connection, connack };
  } catch (error) {
    socket.destroy();
    throw error instanceof MeshError ? error : unreachable(options, error);
  } finally {
    clearTimeout(timer);
  }
}

function connectPacket({
  clientId,
  username,
  password,
  clean,
  keepaliveSeconds,
}: ConnectOptions): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId,
    username,
    password: Buffer.from(password),
    clean,
    keepalive: keepaliveSeconds,
  };
}

function unreachable({ host, port }: MqttAddress, cause?: unknown): MeshError {
  return new MeshError('mqtt.unreachable', `no MQTT connection to ${host}:${port}`, {
    cause,
    retriable: true,
  });
}

function wrap(socket: Socket): MqttConnection {
  const parser = mqtt.parser({ protocolVersion: 4 });
  let early: Parameters<PublishListener>[] = [];
  let listener: PublishListener = (...publish) => void early.push(publish);
  const waiting = new Map<Packet['cmd'], (packet: Packet) => void>();
  parser.on('packet', (packet: Packet) => {
    waiting.get(packet.cmd)?.(packet);
    waiting.delete(packet.cmd);
  });
  parser.on('error', (error: Error) => socket.destroy(error));
  const read = createFrameReader({
    publish: (topic, packetId, payload) => {
      if (packetId !== undefined) listener(topic, packetId, payload);
    },
    other: (packet) => void parser.parse(packet),
    fault: (reason) => socket.destroy(new Error(reason)),
  });
  socket.on('data', read);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return {
    socket,
    closed,
    send: (packet) => void mqtt.writeToStream(packet, socket),
    expect: <C extends Packet['cmd']>(cmd: C, timeoutMs: number) =>
      new Promise<Extract<Packet, { cmd: C }>>((resolve, reject) => {
        const timer = setTimeout(
          () =>
            reject(new MeshError('mqtt.timeout', `no ${cmd} within ${timeoutMs} ms`, { retriable: true })),
          timeoutMs,
        );
        waiting.set(cmd, (packet) => {
          clearTimeout(timer);
          resolve(packet as Extract<Packet, { cmd: C }>);
        });
        void closed.then(() => {
          clearTimeout(timer);
          reject(new MeshError('mqtt.closed', `the connection closed before ${cmd}`, { retriable: true }));
        });
      }),
    onPublish: (next) => {
      listener = next;
      const kept = early;
      early = [];
      for (const publish of kept) next(...publish);
    },
    end: () => {
      if (socket.writable) socket.end(mqtt.generate({ cmd: 'disconnect' }));
    },
    destroy: () => socket.destroy(),
  };
}

/** PINGREQ at half the interval; a gateway that says nothing for one and a half intervals is gone [MQTT-3.1.2-24]. */
function keepAlive(connection: MqttConnection, seconds: number): void {
  const timer = setInterval(() => connection.send({ cmd: 'pingreq' }), (seconds * 1000) / 2);
  connection.socket.setTimeout(seconds * 1500, () => connection.destroy());
  void connection.closed.then(() => clearInterval(timer));
}
