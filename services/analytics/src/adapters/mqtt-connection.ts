/**
 * One MQTT 3.1.1 connection on a socket. The node does not use mqtt.js, which acknowledges one
 * packet at a time: a batch acknowledges many.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { MeshError } from '@thermomesh/runtime';
import mqtt, { type IConnackPacket, type IConnectPacket, type Packet } from 'mqtt-packet';
import { analyticsError } from '../core/errors.ts';
import { createFrameReader } from '../core/mqtt-frames.ts';

/** Where the gateway listens. */
export interface MqttAddress {
  host: string;
  port: number;
}

/** An open connection. */
export interface MqttConnection {
  readonly socket: Socket;
  /** Resolves when the connection is gone, whichever side ended it. */
  readonly closed: Promise<void>;
  send(packet: Packet): void;
  /** Resolves with the next packet of this kind. @throws MeshError `mqtt.closed`, `mqtt.timeout` */
  expect<C extends Packet['cmd']>(cmd: C, timeoutMs: number): Promise<Extract<Packet, { cmd: C }>>;
  /**
   * Sets the listener for messages at QoS 1; `payload` is a view into the received bytes. The first
   * listener also gets the messages that came before it, because the backlog may follow the CONNACK
   * in the same segment.
   */
  onPublish(listener: PublishListener): void;
  /** Sets the listener for messages at QoS 0. Without one they are dropped. */
  onNotice(listener: (topic: string, payload: Buffer) => void): void;
  /** Sends DISCONNECT and ends the stream gracefully. */
  end(): void;
  /** Closes the connection at once. */
  destroy(): void;
}

/** Receives a message at QoS 1. */
export type PublishListener = (topic: string, packetId: number, payload: Buffer) => void;

export interface ConnectOptions extends MqttAddress {
  clientId: string;
  username: string;
  password: string;
  clean: boolean;
  keepaliveSeconds: number;
  timeoutMs: number;
}

/**
 * Connects and waits for the CONNACK.
 * @throws MeshError `mqtt.unreachable`, `mqtt.refused` (names the return code), `mqtt.timeout`,
 *   `mqtt.closed`; all of them are retriable
 */
export async function connectMqtt(
  options: ConnectOptions,
): Promise<{ connection: MqttConnection; connack: IConnackPacket }> {
  const socket = connect({ host: options.host, port: options.port, noDelay: true });
  socket.on('error', () => undefined); // 'close' follows and reports the same
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
      throw analyticsError(
        'mqtt.refused',
        `the gateway refused the connection with code ${connack.returnCode}`,
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
  return analyticsError('mqtt.unreachable', `no MQTT connection to ${host}:${port}`, { cause });
}

function wrap(socket: Socket): MqttConnection {
  const parser = mqtt.parser({ protocolVersion: 4 });
  let early: Parameters<PublishListener>[] = [];
  let listener: PublishListener = (...publish) => void early.push(publish);
  let noticed: (topic: string, payload: Buffer) => void = () => undefined;
  const waiting = new Map<Packet['cmd'], (packet: Packet) => void>();
  parser.on('packet', (packet: Packet) => {
    waiting.get(packet.cmd)?.(packet);
    waiting.delete(packet.cmd);
  });
  parser.on('error', (error: Error) => socket.destroy(error));
  const read = createFrameReader({
    publish: (topic, packetId, payload) => {
      if (packetId === undefined) noticed(topic, payload);
      else listener(topic, packetId, payload);
    },
    other: (packet) => void parser.parse(packet),
    invalid: (reason) => socket.destroy(new Error(reason)),
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
          () => reject(analyticsError('mqtt.timeout', `no ${cmd} within ${timeoutMs} ms`)),
          timeoutMs,
        );
        waiting.set(cmd, (packet) => {
          clearTimeout(timer);
          resolve(packet as Extract<Packet, { cmd: C }>);
        });
        void closed.then(() => {
          clearTimeout(timer);
          reject(analyticsError('mqtt.closed', `the connection closed before ${cmd}`));
        });
      }),
    onPublish: (next) => {
      listener = next;
      const kept = early;
      early = [];
      for (const publish of kept) next(...publish);
    },
    onNotice: (next) => {
      noticed = next;
    },
    end: () => {
      if (socket.writable) socket.end(mqtt.generate({ cmd: 'disconnect' }));
    },
    destroy: () => socket.destroy(),
  };
}

/**
 * Sends PINGREQ at half the interval, and closes the connection if the gateway is silent for one
 * and a half intervals [MQTT-3.1.2-24].
 */
function keepAlive(connection: MqttConnection, seconds: number): void {
  const timer = setInterval(() => connection.send({ cmd: 'pingreq' }), (seconds * 1000) / 2);
  connection.socket.setTimeout(seconds * 1500, () => connection.destroy());
  void connection.closed.then(() => clearInterval(timer));
}
