import assert from 'node:assert/strict';
import { it } from 'node:test';
import { drainFilter, readDrainMessage, uuidText, type BrokerDocument } from '@thermomesh/contracts';
import mqtt, { type IPublishPacket } from 'mqtt-packet';
import { packetIdOf } from '../core/mqtt-bytes.ts';
import { drainLogin, nodeLogin, startGateway, temporaryFolder, type TestGateway } from './testing/gateway.ts';
import { connectClient, openSocket, until, wrap, type TestClient } from './testing/mqtt-client.ts';

const broker = async (gateway: TestGateway) =>
  (await (await gateway.get('/v1/broker')).json()) as BrokerDocument;
const read = ({ payload }: IPublishPacket) => readDrainMessage(payload as Buffer);
const text = (message: IPublishPacket) => read(message).payload.toString();

/** Publishes `count` numbered readings and waits for all PUBACKs. */
async function fill(gateway: TestGateway, count: number, from = 1, deviceId = 'd1'): Promise<void> {
  const device = await gateway.device(deviceId);
  for (let number = from; number < from + count; number++) {
    const messageId = (number % 65_535) + 1;
    device.send({
      cmd: 'publish',
      topic: 'thermostat/data',
      payload: String(number),
      qos: 1,
      dup: false,
      retain: false,
      messageId,
    });
  }
  await until(
    () => device.received.filter(({ cmd }) => cmd === 'puback').length === count,
    'the acks',
    60_000,
  );
  device.end();
}

function acknowledge(drain: TestClient, messages: readonly IPublishPacket[]): void {
  for (const { messageId } of messages) drain.send({ cmd: 'puback', messageId: messageId! });
}

async function untilEmpty(gateway: TestGateway): Promise<BrokerDocument> {
  let document = await broker(gateway);
  const deadline = Date.now() + 10_000;
  while (document.counters.buffered > 0 && Date.now() < deadline) document = await broker(gateway);
  assert.equal(document.counters.buffered, 0);
  return document;
}

/** Each message names the one before it, over restarts too: the coordinator would see a gap. */
function assertChain(messages: readonly IPublishPacket[]): void {
  const ids = messages.map(read);
  for (const [index, { previousLogId }] of ids.entries()) {
    if (index > 0) assert.equal(previousLogId, ids[index - 1]!.logId);
  }
}

const numbers = (count: number, from = 1) =>
  Array.from({ length: count }, (_, index) => String(from + index));

it('one reading is acked, delivered to the drain session, acked there and removed', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', 'one');
  const drain = await gateway.drain(1);
  const message = await drain.next('publish');
  assert.equal(message.topic, 'thermostat/data/d1');
  const { log, logId, payload } = read(message);
  assert.equal(payload.toString(), 'one');
  assert.equal(message.messageId, packetIdOf(logId));
  const before = await broker(gateway);
  assert.equal(before.log, uuidText(log));
  assert.deepEqual([before.counters.accepted, before.counters.buffered], [1, 1]);
  assert.deepEqual(before.drain, { connected: true, node: 1, epoch: 1, inFlight: 1 });
  acknowledge(drain, [message]);
  const after = await untilEmpty(gateway);
  assert.deepEqual([after.counters.accepted, after.store.bytes, after.drain.inFlight], [1, 0, 0]);
});

it('a clean CONNECT is refused and the queue is untouched', async (t) => {
  const gateway = await startGateway(t);
  await fill(gateway, 10);
  const { client, connack } = await connectClient(gateway.mqttPort, { ...drainLogin(1, 9), clean: true });
  assert.equal(connack.returnCode, 2);
  await client.untilClosed();
  const drain = await gateway.drain(1);
  await until(() => drain.publishes().length === 10, 'the queue');
});

it('credentials of anybody but a node are refused', async (t) => {
  const gateway = await startGateway(t);
  const device = { username: 'd1', password: nodeLogin(1).password };
  const wrong = { ...drainLogin(1, 1), password: Buffer.from('wrong') };
  for (const login of [device, wrong, { ...wrong, username: 'operator' }]) {
    const { connack } = await connectClient(gateway.mqttPort, { ...drainLogin(1), ...login });
    assert.equal(connack.returnCode, 5);
  }
  const other = { ...drainLogin(1, 1), username: 'node/2/1' };
  assert.equal((await connectClient(gateway.mqttPort, other)).connack.returnCode, 5);
});

it('a deposed coordinator cannot kick out its successor; the successor takes over', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.drain(3);
  const { connack } = await connectClient(gateway.mqttPort, drainLogin(2, 2));
  assert.equal(connack.returnCode, 5);
  assert.equal(first.closed, false);
  const { connack: taken } = await connectClient(gateway.mqttPort, drainLogin(2, 4));
  assert.deepEqual([taken.returnCode, taken.sessionPresent], [0, true]);
  await first.untilClosed();
  assert.deepEqual((await broker(gateway)).drain, { connected: true, node: 2, epoch: 4, inFlight: 0 });
});

it('UNSUBSCRIBE ends the connection and not the subscription', async (t) => {
  const gateway = await startGateway(t);
  const drain = await gateway.drain(1);
  drain.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [drainFilter] });
  await drain.untilClosed();
  await fill(gateway, 1);
  const again = await gateway.drain(1);
  await again.next('publish');
});

it('SUBSCRIBE is granted for its own filter alone, PUBLISH ends the connection', async (t) => {
  const gateway = await startGateway(t);
  const drain = await gateway.drain(1);
  const subscriptions = [
    { topic: drainFilter, qos: 1 as const },
    { topic: '#', qos: 1 as const },
  ];
  drain.send({ cmd: 'subscribe', messageId: 5, subscriptions });
  assert.deepEqual((await drain.next('suback')).granted, [1, 0x80]);
  drain.send({ cmd: 'pingreq' });
  await drain.next('pingresp');
  drain.send({ cmd: 'publish', topic: 'mesh/x', payload: '', qos: 0, dup: false, retain: false });
  await drain.untilClosed();
});

it('a PUBACK out of order ends the connection; nothing is taken for acknowledged that was not', async (t) => {
  const gateway = await startGateway(t);
  await fill(gateway, 5);
  const drain = await gateway.drain(1);
  await until(() => drain.publishes().length === 5, 'the queue');
  const messages = drain.publishes();
  acknowledge(drain, [messages[0]!, messages[1]!, messages[3]!]);
  await drain.untilClosed();
  const again = await gateway.drain(1);
  await until(() => again.publishes().length === 3, 'the rest');
  assert.deepEqual(again.publishes().map(text), ['3', '4', '5']);
  assert.ok(again.publishes().every(({ dup }) => dup));
});

it('reconnected in the middle of its window: what is unacknowledged comes again with DUP, then the rest without', async (t) => {
  const gateway = await startGateway(t, { env: { DRAIN_WINDOW_MESSAGES: '10' } });
  await fill(gateway, 100);
  const first = await gateway.drain(1);
  await until(() => first.publishes().length === 10, 'the window');
  acknowledge(first, first.publishes().slice(0, 4));
  await until(() => first.publishes().length === 14, 'the next four');
  first.destroy();
  const second = await gateway.drain(1);
  let taken = 0;
  await until(() => {
    const messages = second.publishes();
    acknowledge(second, messages.slice(taken));
    taken = messages.length;
    return taken === 96;
  }, 'the rest');
  assert.deepEqual(second.publishes().map(text), numbers(96, 5));
  assert.deepEqual(
    second.publishes().map(({ dup }) => dup),
    [...numbers(10).map(() => true), ...numbers(86).map(() => false)],
  );
  await untilEmpty(gateway);
});

it('after a restart the backlog comes in order, and numbers go on, never again from the start', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startGateway(t, { folder });
  await fill(first, 300);
  const drain = await first.drain(1);
  await until(() => drain.publishes().length === 300, 'the backlog');
  acknowledge(drain, drain.publishes().slice(0, 120));
  let document = await broker(first);
  while (document.counters.buffered !== 180) document = await broker(first);
  const lastId = read(drain.publishes()[299]!).logId;
  await first.stop();

  const second = await startGateway(t, { folder });
  const counters = (await broker(second)).counters;
  assert.deepEqual([counters.accepted, counters.buffered], [300, 180]);
  await fill(second, 10, 301);
  const again = await second.drain(2);
  await until(() => again.publishes().length === 190, 'the backlog');
  assert.deepEqual(again.publishes().map(text), numbers(190, 121));
  assert.ok(
    again
      .publishes()
      .slice(0, 180)
      .every(({ dup }) => dup),
  );
  assert.ok(
    again
      .publishes()
      .slice(180)
      .every(({ dup }) => !dup),
  );
  assert.ok(read(again.publishes()[180]!).logId > lastId);
  assertChain(again.publishes());
  acknowledge(again, again.publishes());
  await untilEmpty(second);
  await second.stop();

  const third = await startGateway(t, { folder });
  await fill(third, 1, 999);
  const last = await third.drain(3);
  const message = read(await last.next('publish'));
  assert.equal(message.previousLogId, read(again.publishes().at(-1)!).logId);
  assert.ok(message.logId > lastId + 10, 'an empty log does not start its numbers again');
  assert.equal((await broker(third)).log, document.log);
});

it('a wiped store is another log', async (t) => {
  const one = await startGateway(t);
  const two = await startGateway(t);
  assert.notEqual((await broker(one)).log, (await broker(two)).log);
});

it('a frozen coordinator holds up nobody and costs bounded memory', async (t) => {
  const gateway = await startGateway(t, { env: { DRAIN_WINDOW_BYTES: '50000' } });
  const drain = await gateway.drain(1);
  drain.socket.pause();
  await fill(gateway, 3000);
  const { drain: state, counters } = await broker(gateway);
  assert.ok(state.inFlight < 3000, `${state.inFlight} in flight`);
  assert.equal(counters.buffered, 3000);
  drain.socket.resume();
  let taken = 0;
  await until(() => {
    const messages = drain.publishes();
    acknowledge(drain, messages.slice(taken));
    taken = messages.length;
    return taken === 3000;
  }, 'everything');
  assert.deepEqual(drain.publishes().map(text), numbers(3000));
});

it('a long backlog is delivered once each and in order', async (t) => {
  const gateway = await startGateway(t);
  const total = 100_000;
  await Promise.all([1, 2, 3, 4].map((device) => fill(gateway, total / 4, 1, `d${device}`)));
  const drain = await gateway.drain(1);
  let taken = 0;
  await until(
    () => {
      const messages = drain.publishes();
      const fresh = messages.slice(taken);
      taken = messages.length;
      const bytes = fresh.map(({ messageId }) => mqtt.generate({ cmd: 'puback', messageId: messageId! }));
      drain.socket.write(Buffer.concat(bytes));
      return taken >= total;
    },
    'the backlog',
    60_000,
  );
  const ids = drain.publishes().map((message) => read(message).logId);
  assert.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]!));
  for (const device of [1, 2, 3, 4]) {
    const own = drain.publishes().filter(({ topic }) => topic === `thermostat/data/d${device}`);
    assert.deepEqual(own.map(text), numbers(total / 4));
  }
  const { counters, store } = await untilEmpty(gateway);
  assert.deepEqual([counters.accepted, store.bytes], [total, 0]);
});

it('a CONNECT in many pieces is understood, garbage is not and harms nobody', async (t) => {
  const gateway = await startGateway(t, { env: { CONNECT_TIMEOUT_MS: '300' } });
  for (const login of [drainLogin(1, 1), { ...nodeLogin(1), clean: true }]) {
    const socket = await openSocket(gateway.mqttPort);
    const client = wrap(socket);
    const bytes = mqtt.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      keepalive: 60,
      ...login,
    });
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await client.next('connack')).returnCode, 0);
  }
  const garbage = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
    Buffer.from([0x10, 2, 0, 99]),
    Buffer.from([0x10]),
    Buffer.from([0x32, 5, 0, 1, 65, 0, 1]),
  ];
  for (const bytes of garbage) {
    const client = wrap(await openSocket(gateway.mqttPort));
    client.socket.write(bytes);
    await client.untilClosed();
  }
  assert.equal((await broker(gateway)).counters.refusedConnections, garbage.length);
  await fill(gateway, 1);
});

it('keep-alive is enforced [MQTT-3.1.2-24]', async (t) => {
  const gateway = await startGateway(t);
  const drain = await gateway.drain(1, { keepalive: 1 });
  await drain.untilClosed();
});
