import assert from 'node:assert/strict';
import { it } from 'node:test';
import { drainFilter, uuidText } from '@thermomesh/contracts';
import { until } from '@thermomesh/testing';
import mqtt from 'mqtt-packet';
import { packetIdOf } from '../core/mqtt-bytes.ts';
import { drainLogin, nodeLogin, startGateway, folderFor } from '../../testing.ts';
import { acknowledge, assertChain, fill, numbers, read, text, untilEmpty } from './testing/drain-client.ts';
import { connectClient, openSocket, wrap } from './testing/mqtt-client.ts';

it('a reading is acknowledged, delivered to the coordinator, and then removed', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', 'one');
  const drain = await gateway.drain(1);
  const message = await drain.next('publish');
  assert.equal(message.topic, 'thermostat/data/d1');
  const { log, logId, payload } = read(message);
  assert.equal(payload.toString(), 'one');
  assert.equal(message.messageId, packetIdOf(logId));
  const before = await gateway.broker();
  assert.equal(before.log, uuidText(log));
  assert.deepEqual([before.counters.accepted, before.counters.buffered], [1, 1]);
  assert.deepEqual(before.drain, { connected: true, node: 1, epoch: 1, inFlight: 1 });
  acknowledge(drain, [message]);
  const after = await untilEmpty(gateway);
  assert.deepEqual([after.counters.accepted, after.store.bytes, after.drain.inFlight], [1, 0, 0]);
});

it('a clean CONNECT on the drain session is refused and the queue stays', async (t) => {
  const gateway = await startGateway(t);
  await fill(gateway, 10);
  const { client, connack } = await connectClient(gateway.mqttPort, { ...drainLogin(1, 9), clean: true });
  assert.equal(connack.returnCode, 2);
  await client.untilClosed();
  const drain = await gateway.drain(1);
  await until('the queue', () => drain.publishes().length === 10);
});

it('the drain session refuses credentials that do not belong to a node', async (t) => {
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

it('a deposed coordinator cannot take the session from its successor', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.drain(3);
  const { connack } = await connectClient(gateway.mqttPort, drainLogin(2, 2));
  assert.equal(connack.returnCode, 5);
  assert.equal(first.closed, false);
  const { connack: taken } = await connectClient(gateway.mqttPort, drainLogin(2, 4));
  assert.deepEqual([taken.returnCode, taken.sessionPresent], [0, true]);
  await first.untilClosed();
  assert.deepEqual((await gateway.broker()).drain, { connected: true, node: 2, epoch: 4, inFlight: 0 });
});

it('UNSUBSCRIBE on the drain session ends the connection, not the subscription', async (t) => {
  const gateway = await startGateway(t);
  const drain = await gateway.drain(1);
  drain.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [drainFilter] });
  await drain.untilClosed();
  await fill(gateway, 1);
  const again = await gateway.drain(1);
  await again.next('publish');
});

it('the drain session grants only its own filter, and PUBLISH ends the connection', async (t) => {
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
  drain.sendPublish('mesh/x', '', { qos: 0 });
  await drain.untilClosed();
});

it('a PUBACK out of sequence ends the connection and acknowledges nothing else', async (t) => {
  const gateway = await startGateway(t);
  await fill(gateway, 5);
  const drain = await gateway.drain(1);
  await until('the queue', () => drain.publishes().length === 5);
  const messages = drain.publishes();
  acknowledge(drain, [messages[0]!, messages[1]!, messages[3]!]);
  await drain.untilClosed();
  const again = await gateway.drain(1);
  await until('the rest', () => again.publishes().length === 3);
  assert.deepEqual(again.publishes().map(text), ['3', '4', '5']);
  assert.ok(again.publishes().every(({ dup }) => dup));
});

it('a coordinator that reconnects gets only unacknowledged messages with DUP', async (t) => {
  const gateway = await startGateway(t, { env: { DRAIN_WINDOW_MESSAGES: '10' } });
  await fill(gateway, 100);
  const first = await gateway.drain(1);
  await until('the window', () => first.publishes().length === 10);
  acknowledge(first, first.publishes().slice(0, 4));
  await until('the next four', () => first.publishes().length === 14);
  first.destroy();
  const second = await gateway.drain(1);
  let taken = 0;
  await until('the rest', () => {
    const messages = second.publishes();
    acknowledge(second, messages.slice(taken));
    taken = messages.length;
    return taken === 96;
  });
  assert.deepEqual(second.publishes().map(text), numbers(96, 5));
  assert.deepEqual(
    second.publishes().map(({ dup }) => dup),
    [...numbers(10).map(() => true), ...numbers(86).map(() => false)],
  );
  await untilEmpty(gateway);
});

it('after a restart the backlog comes in order and log ids keep growing', async (t) => {
  const folder = await folderFor(t);
  const first = await startGateway(t, { folder });
  await fill(first, 300);
  const drain = await first.drain(1);
  await until('the backlog', () => drain.publishes().length === 300);
  acknowledge(drain, drain.publishes().slice(0, 120));
  let document = await first.broker();
  while (document.counters.buffered !== 180) document = await first.broker();
  const lastId = read(drain.publishes()[299]!).logId;
  await first.stop();

  const second = await startGateway(t, { folder });
  const counters = (await second.broker()).counters;
  assert.deepEqual([counters.accepted, counters.buffered], [300, 180]);
  await fill(second, 10, 301);
  const again = await second.drain(2);
  await until('the backlog', () => again.publishes().length === 190);
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
  assert.ok(message.logId > lastId + 10, 'an empty log does not reuse log ids');
  assert.equal((await third.broker()).log, document.log);
});

it('a wiped store gets another UUID', async (t) => {
  const one = await startGateway(t);
  const two = await startGateway(t);
  assert.notEqual((await one.broker()).log, (await two.broker()).log);
});

it('a frozen coordinator stalls no device and costs bounded memory', async (t) => {
  const gateway = await startGateway(t, { env: { DRAIN_WINDOW_BYTES: '50000' } });
  const drain = await gateway.drain(1);
  drain.socket.pause();
  await fill(gateway, 3000);
  const { drain: state, counters } = await gateway.broker();
  assert.ok(state.inFlight < 3000, `${state.inFlight} in flight`);
  assert.equal(counters.buffered, 3000);
  drain.socket.resume();
  let taken = 0;
  await until('everything', () => {
    const messages = drain.publishes();
    acknowledge(drain, messages.slice(taken));
    taken = messages.length;
    return taken === 3000;
  });
  assert.deepEqual(drain.publishes().map(text), numbers(3000));
});

it('a backlog of 100,000 messages is delivered in order, each message once', async (t) => {
  const gateway = await startGateway(t);
  const total = 100_000;
  await Promise.all([1, 2, 3, 4].map((device) => fill(gateway, total / 4, 1, `d${device}`)));
  const drain = await gateway.drain(1);
  let taken = 0;
  await until(
    'the backlog',
    () => {
      const messages = drain.publishes();
      const fresh = messages.slice(taken);
      taken = messages.length;
      const bytes = fresh.map(({ messageId }) => mqtt.generate({ cmd: 'puback', messageId: messageId! }));
      drain.socket.write(Buffer.concat(bytes));
      return taken >= total;
    },
    { timeoutMs: 60_000 },
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

it('a CONNECT in single bytes is accepted, and garbage only closes its connection', async (t) => {
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
  assert.equal((await gateway.broker()).counters.refusedConnections, garbage.length);
  await fill(gateway, 1);
});

it('a silent coordinator is disconnected when its keep-alive expires', async (t) => {
  // [MQTT-3.1.2-24]
  const gateway = await startGateway(t);
  const drain = await gateway.drain(1, { keepalive: 1 });
  await drain.untilClosed();
});
