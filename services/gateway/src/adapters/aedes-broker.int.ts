import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import type { ISubscription } from 'mqtt-packet';
import { deviceLogin, nodeLogin, operatorLogin, startGateway, type TestGateway } from './testing/gateway.ts';
import { connectClient, until, type TestClient } from './testing/mqtt-client.ts';

const broker = async (gateway: TestGateway) =>
  (await (await gateway.get('/v1/broker')).json()) as BrokerDocument;

async function subscribe(client: TestClient, topic: string, qos: ISubscription['qos'] = 1) {
  client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos }] });
  return (await client.next('suback')).granted;
}

async function operator(gateway: TestGateway, clientId = 'operator-1', more = {}): Promise<TestClient> {
  return (await connectClient(gateway.mqttPort, { ...operatorLogin(clientId), ...more })).client;
}

const texts = (client: TestClient) => client.publishes().map(({ payload }) => payload.toString());

it('logins: wrong tokens, other client ids and strangers are refused', async (t) => {
  const gateway = await startGateway(t);
  const refused = [
    { clientId: 'd1' },
    { ...deviceLogin('d1'), password: Buffer.from('wrong') },
    { ...deviceLogin('d1'), username: 'd2' },
    { ...deviceLogin('d1'), clientId: 'd2' },
    { ...deviceLogin('d1'), clientId: 'd1-b' },
    { ...deviceLogin('node-1') },
    { ...nodeLogin(1), clientId: 'd1' },
    { ...nodeLogin(1), clientId: 'node-11' },
    { clientId: 'anonymous-x' },
  ];
  for (const login of refused) {
    const { connack } = await connectClient(gateway.mqttPort, login);
    assert.equal(connack.returnCode, 5, JSON.stringify(login.clientId));
  }
  assert.equal((await broker(gateway)).counters.refusedConnections, refused.length);
  await gateway.device('d1', { clientId: 'd1/2' });
});

it('anonymous, where it is switched on, is only a device of its own kind', async (t) => {
  const gateway = await startGateway(t, { env: { ALLOW_ANONYMOUS: 'true' } });
  const { client, connack } = await connectClient(gateway.mqttPort, { clientId: 'anonymous-x' });
  assert.equal(connack.returnCode, 0);
  await client.publish('thermostat/data', 'x');
  assert.equal((await connectClient(gateway.mqttPort, { clientId: 'd1' })).connack.returnCode, 5);
});

it('a publish beyond its rights closes the connection and is stored nowhere', async (t) => {
  const gateway = await startGateway(t);
  const beyond = ['thermostat/data/d2', 'thermostat/command/d1', 'mesh/x', '$SYS/x', 'thermostat/data/d1/x'];
  for (const topic of beyond) {
    const device = await gateway.device('d1');
    device.send({ cmd: 'publish', topic, payload: 'x', qos: 1, messageId: 1, dup: false, retain: false });
    await device.untilClosed();
    assert.deepEqual(
      device.received.filter(({ cmd }) => cmd === 'puback'),
      [],
    );
  }
  const node = await gateway.node('node-1');
  node.send({ cmd: 'publish', topic: 'thermostat/data/d1', payload: 'x', qos: 0, dup: false, retain: false });
  await node.untilClosed();
  const { counters } = await broker(gateway);
  assert.deepEqual([counters.accepted, counters.refusedPublishes], [0, beyond.length + 1]);
});

it('subscriptions beyond its rights are answered with 0x80 and are not kept with the session', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1', { clean: false });
  const subscriptions = ['thermostat/command/d1', 'thermostat/command/d2', '#'].map((topic) => ({
    topic,
    qos: 1 as const,
  }));
  device.send({ cmd: 'subscribe', messageId: 3, subscriptions });
  assert.deepEqual((await device.next('suback')).granted, [1, 0x80, 0x80]);
  const session = (await broker(gateway)).sessions.find(({ clientId }) => clientId === 'd1');
  assert.deepEqual(session?.subscriptions, ['thermostat/command/d1']);
  const sender = await operator(gateway);
  await sender.publish('thermostat/command/d2', 'not for d1');
  await sender.publish('thermostat/command/d1', 'for d1');
  assert.equal((await device.next('publish')).payload.toString(), 'for d1');
});

it('a publish that is too large closes the connection before its bytes are gathered', async (t) => {
  const gateway = await startGateway(t, { env: { PUBLISH_BYTES_MAX: '2048' } });
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', Buffer.alloc(2048));
  // 200 MiB are announced, none of them is sent.
  device.socket.write(Buffer.from([0x32, 0x80, 0x80, 0x80, 0x64, 0]));
  await device.untilClosed();
  const again = await gateway.device('d1');
  const payload = Buffer.alloc(2049);
  again.send({
    cmd: 'publish',
    topic: 'thermostat/data',
    payload,
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  });
  await again.untilClosed();
  const { counters } = await broker(gateway);
  assert.deepEqual([counters.accepted, counters.refusedPublishes], [1, 2]);
});

it('a frozen subscriber stalls nobody and is disconnected; its session keeps what it was owed', async (t) => {
  const gateway = await startGateway(t, { env: { SUBSCRIBER_BUFFER_BYTES_MAX: '100000' } });
  const frozen = await operator(gateway, 'operator-frozen', { clean: false });
  await subscribe(frozen, 'thermostat/data/#');
  const awake = await operator(gateway, 'operator-awake');
  await subscribe(awake, 'thermostat/data/#', 0);
  frozen.socket.pause();
  const device = await gateway.device('d1');
  const total = 1500;
  for (let id = 1; id <= total; id++) {
    const payload = Buffer.alloc(8000, String(id).padStart(8));
    device.send({
      cmd: 'publish',
      topic: 'thermostat/data',
      payload,
      qos: 1,
      messageId: id,
      dup: false,
      retain: false,
    });
  }
  await until(() => device.received.length === total + 1, 'the acks');
  await until(() => awake.publishes().length === total, 'the other subscriber');
  let document = await broker(gateway);
  const session = () => document.sessions.find(({ clientId }) => clientId === 'operator-frozen');
  const deadline = Date.now() + 10_000;
  while (session()?.connected === true && Date.now() < deadline) document = await broker(gateway);
  assert.deepEqual([session()?.connected, session()?.queued], [false, total]);
  const back = await operator(gateway, 'operator-frozen', { clean: false });
  await takeAll(back, total);
  assert.deepEqual(
    texts(back).map((text) => Number(text.slice(0, 8))),
    Array.from({ length: total }, (_, i) => i + 1),
  );
  // The drain session still has every payload: it is stored once for both.
  assert.equal((await broker(gateway)).counters.buffered, total);
});

/** Acknowledges what comes until there were `total`. */
async function takeAll(client: TestClient, total: number): Promise<void> {
  let taken = 0;
  await until(() => {
    const messages = client.publishes();
    for (; taken < messages.length; taken++)
      client.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return taken >= total;
  }, `${total} messages`);
}

it('a persistent session gets its backlog in order, live messages behind it, each once', async (t) => {
  const gateway = await startGateway(t);
  const first = await operator(gateway, 'operator-p', { clean: false });
  await subscribe(first, 'mesh/#');
  first.end();
  await first.untilClosed();
  const node = await gateway.node('node-1');
  const count = 500;
  for (let number = 1; number <= count; number++) await node.publish('mesh/x', String(number));
  const [again] = await Promise.all([
    operator(gateway, 'operator-p', { clean: false }),
    (async () => {
      for (let number = count + 1; number <= count + 200; number++)
        await node.publish('mesh/x', String(number));
    })(),
  ]);
  await takeAll(again, count + 200);
  assert.deepEqual(
    texts(again),
    Array.from({ length: count + 200 }, (_, index) => String(index + 1)),
  );
  let document = await broker(gateway);
  const deadline = Date.now() + 10_000;
  while (document.store.bytes > 0 && Date.now() < deadline) document = await broker(gateway);
  assert.equal(document.store.bytes, 0, 'what every session acknowledged is removed');
});

it('what was sent and not acknowledged comes again with DUP and the same packet id [MQTT-4.4.0-1]', async (t) => {
  const gateway = await startGateway(t);
  const first = await operator(gateway, 'operator-p', { clean: false });
  await subscribe(first, 'mesh/#');
  const node = await gateway.node('node-1');
  await node.publish('mesh/x', 'one');
  const before = await first.next('publish');
  first.destroy();
  const again = await operator(gateway, 'operator-p', { clean: false });
  const after = await again.next('publish');
  assert.deepEqual([before.dup, after.dup, after.messageId], [false, true, before.messageId]);
});

it('QoS 2 to a subscriber: PUBREL is sent again, not the message', async (t) => {
  const gateway = await startGateway(t);
  const first = await operator(gateway, 'operator-p', { clean: false });
  await subscribe(first, 'mesh/#', 2);
  const node = await gateway.node('node-1');
  node.send({
    cmd: 'publish',
    topic: 'mesh/x',
    payload: 'x',
    qos: 2,
    messageId: 1,
    dup: false,
    retain: false,
  });
  const { messageId } = await first.next('publish');
  first.send({ cmd: 'pubrec', messageId: messageId! });
  await first.next('pubrel');
  first.destroy();
  const again = await operator(gateway, 'operator-p', { clean: false });
  assert.equal((await again.next('pubrel')).messageId, messageId);
  again.send({ cmd: 'pubcomp', messageId: messageId! });
  assert.deepEqual(again.publishes(), []);
});

it('a wildcard subscription is served at its own QoS, not at the publisher’s [MQTT-3.8.4-6]', async (t) => {
  const gateway = await startGateway(t);
  const reader = await operator(gateway, 'operator-r');
  await subscribe(reader, 'mesh/#', 1);
  const node = await gateway.node('node-1');
  node.send({
    cmd: 'publish',
    topic: 'mesh/x',
    payload: 'x',
    qos: 2,
    messageId: 1,
    dup: false,
    retain: false,
  });
  assert.equal((await reader.next('publish')).qos, 1);
});

it('a clean CONNECT ends a session with everything that waited for it', async (t) => {
  const gateway = await startGateway(t);
  const first = await operator(gateway, 'operator-p', { clean: false });
  await subscribe(first, 'mesh/#');
  first.end();
  await first.untilClosed();
  const node = await gateway.node('node-1');
  for (let number = 0; number < 20; number++) await node.publish('mesh/x', String(number));
  assert.ok((await broker(gateway)).store.bytes > 0);
  const clean = await operator(gateway, 'operator-p');
  const { store, sessions } = await broker(gateway);
  assert.deepEqual([store.bytes, sessions.length, clean.publishes()], [0, 1, []]);
});

it('retained messages are replaced, removed by an empty payload, and given to new subscribers', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  const topic = 'thermostat/status/d1';
  await device.publish(topic, 'old', { retain: true });
  await device.publish(topic, 'new', { retain: true });
  const reader = await operator(gateway);
  await subscribe(reader, 'thermostat/status/+');
  const message = await reader.next('publish');
  assert.deepEqual([message.payload.toString(), message.retain], ['new', true]);
  await device.publish(topic, '', { retain: true });
  const late = await operator(gateway, 'operator-2');
  await subscribe(late, '#');
  await device.publish(topic, 'live');
  assert.deepEqual((await late.next('publish')).payload.toString(), 'live');
});

it('a will is published when its device dies, and refused on another’s topic', async (t) => {
  const gateway = await startGateway(t);
  const reader = await operator(gateway);
  await subscribe(reader, 'thermostat/#');
  const will = { topic: 'thermostat/status/d1', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
  const device = await gateway.device('d1', { will });
  device.destroy();
  assert.equal((await reader.next('publish')).payload.toString(), 'gone');
  const other = { ...deviceLogin('d1'), will: { ...will, topic: 'thermostat/status/d2' } };
  assert.equal((await connectClient(gateway.mqttPort, other)).connack.returnCode, 5);
});

it('HTTP needs a key, and says how it stands', async (t) => {
  const gateway = await startGateway(t);
  const url = `http://127.0.0.1:${gateway.httpPort}`;
  assert.equal((await fetch(`${url}/v1/broker`)).status, 401);
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /thermomesh_buffered_messages 0/);
});
