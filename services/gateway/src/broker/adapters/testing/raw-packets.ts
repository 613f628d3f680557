/** Packets as bytes, so that a test can break any rule of MQTT 3.1.1. */
import assert from 'node:assert/strict';
import { until } from '@thermomesh/testing';
import { operatorLogin, type TestGateway } from '../../../testing.ts';
import { openSocket, wrap, type TestClient } from './mqtt-client.ts';

/** A string or binary field: its length in two bytes, then its bytes. */
export function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([packetId(bytes.length), bytes]);
}

/** A number in two bytes, such as a packet id. */
export function packetId(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

/** A packet: its first byte, its remaining length, and the rest. */
export function packet(first: number, ...parts: (Buffer | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** Flags of a CONNECT. */
export const connectFlags = { clean: 0x02, will: 0x04, willRetain: 0x20, password: 0x40, username: 0x80 };

const { clean, password, username } = connectFlags;
const login = operatorLogin('operator-1');

/** The last fields of a CONNECT of the operator. */
export const credentials = [field(login.username), field(login.password)];

/** A CONNECT of the operator, unless the test gives other flags or fields. */
export function rawConnect(
  options: { flags?: number; keepAlive?: number; fields?: readonly Buffer[]; after?: Buffer } = {},
): Buffer {
  const { flags = username | password | clean, keepAlive = 60, after = Buffer.alloc(0) } = options;
  const { fields = [field('operator-1'), ...credentials] } = options;
  return packet(0x10, field('MQTT'), [4, flags], packetId(keepAlive), ...fields, after);
}

/** Sends bytes on a new connection; resolves with all that came when the broker has closed it. */
export async function answerTo(gateway: TestGateway, bytes: Buffer): Promise<number[]> {
  const socket = await openSocket(gateway.mqttPort);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  await closed;
  return [...Buffer.concat(chunks)];
}

/** Sends bytes after a login; expects the end of the connection, and no other trace. */
export async function expectClosed(gateway: TestGateway, bytes: Buffer | number[], name: string) {
  const client = await gateway.operator();
  client.socket.write(Buffer.from(bytes));
  await client.untilClosed();
  const answers = client.received.filter(({ cmd }) => cmd !== 'connack');
  assert.deepEqual(answers, [], name);
  const { counters } = await gateway.broker();
  assert.equal(counters.accepted, 0, name);
}

/** A client on a new connection that has sent these bytes. */
export async function clientAfter(gateway: TestGateway, bytes: Buffer): Promise<TestClient> {
  const client = wrap(await openSocket(gateway.mqttPort));
  client.socket.write(bytes);
  return client;
}

/** Resolves when the broker has handled everything that the client has sent. */
export async function untilHandled(client: TestClient): Promise<void> {
  client.send({ cmd: 'pingreq' });
  await client.next('pingresp');
}

/** Waits until `total` messages have come, and shows that no other one follows. */
export async function takeExactly(client: TestClient, total: number): Promise<string[]> {
  await until(`${total} messages`, () => client.publishes().length >= total);
  await untilHandled(client);
  assert.equal(client.publishes().length, total, client.texts().join());
  return client.texts();
}
