import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { deviceLogin, nodeLogin, startGateway } from '../../testing.ts';
import { connectClient, type TestClient } from './testing/mqtt-client.ts';

it('a login with a wrong token, a foreign client id or no user name is refused', async (t) => {
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
  assert.equal((await gateway.broker()).counters.refusedConnections, refused.length);
  await gateway.device('d1', { clientId: 'd1/2' });
});

it('an anonymous client, where allowed, is a device without rights of other devices', async (t) => {
  const gateway = await startGateway(t, { env: { ALLOW_ANONYMOUS: 'true' } });
  const { client, connack } = await connectClient(gateway.mqttPort, { clientId: 'anonymous-x' });
  assert.equal(connack.returnCode, 0);
  await client.publish('thermostat/data', 'x');
  assert.equal((await connectClient(gateway.mqttPort, { clientId: 'd1' })).connack.returnCode, 5);
});

it('a publish without the right to it closes the connection and is not stored', async (t) => {
  const gateway = await startGateway(t);
  const beyond = ['thermostat/data/d2', 'thermostat/command/d1', 'mesh/x', '$SYS/x', 'thermostat/data/d1/x'];
  for (const topic of beyond) {
    const device = await gateway.device('d1');
    device.sendPublish(topic, 'x', { messageId: 1 });
    await device.untilClosed();
    assert.deepEqual(
      device.received.filter(({ cmd }) => cmd === 'puback'),
      [],
    );
  }
  const node = await gateway.node('node-1');
  node.sendPublish('thermostat/data/d1', 'x', { qos: 0 });
  await node.untilClosed();
  const { counters } = await gateway.broker();
  assert.deepEqual([counters.accepted, counters.refusedPublishes], [0, beyond.length + 1]);
});

it('a refused subscription is answered with 0x80 and not stored with the session', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1', { clean: false });
  const filters = ['thermostat/command/d1', 'thermostat/command/d2', '#'];
  assert.deepEqual(await device.subscribe(filters), [1, 0x80, 0x80]);
  const session = (await gateway.broker()).sessions.find(({ clientId }) => clientId === 'd1');
  assert.deepEqual(session?.subscriptions, ['thermostat/command/d1']);
  const sender = await gateway.operator();
  await sender.publish('thermostat/command/d2', 'not for d1');
  await sender.publish('thermostat/command/d1', 'for d1');
  assert.equal((await device.next('publish')).payload.toString(), 'for d1');
});

it('a publish that is too large closes the connection before its bytes are read', async (t) => {
  const gateway = await startGateway(t, { env: { PUBLISH_BYTES_MAX: '2048' } });
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', Buffer.alloc(2048));
  // The packet announces 200 MiB and sends none of them.
  device.socket.write(Buffer.from([0x32, 0x80, 0x80, 0x80, 0x64, 0]));
  await device.untilClosed();
  const again = await gateway.device('d1');
  const payload = Buffer.alloc(2049);
  again.sendPublish('thermostat/data', payload, { messageId: 1 });
  await again.untilClosed();
  const { counters } = await gateway.broker();
  assert.deepEqual([counters.accepted, counters.refusedPublishes], [1, 2]);
});

it('a frozen subscriber stalls no other client, and its session keeps its messages', async (t) => {
  const gateway = await startGateway(t, { env: { SUBSCRIBER_BUFFER_BYTES_MAX: '100000' } });
  const frozen = await gateway.operator('operator-frozen', { clean: false });
  await frozen.subscribe('thermostat/data/#');
  const awake = await gateway.operator('operator-awake');
  await awake.subscribe('thermostat/data/#', 0);
  frozen.socket.pause();
  const device = await gateway.device('d1');
  const total = 1500;
  for (let id = 1; id <= total; id++) {
    const payload = Buffer.alloc(8000, String(id).padStart(8));
    device.sendPublish('thermostat/data', payload, { messageId: id });
  }
  await until('the acks', () => device.received.length === total + 1);
  await until('the other subscriber', () => awake.publishes().length === total);
  let document = await gateway.broker();
  const session = () => document.sessions.find(({ clientId }) => clientId === 'operator-frozen');
  await until('the frozen subscriber to be disconnected', async () => {
    document = await gateway.broker();
    return session()?.connected !== true;
  });
  assert.deepEqual([session()?.connected, session()?.queued], [false, total]);
  const back = await gateway.operator('operator-frozen', { clean: false });
  await takeAll(back, total);
  assert.deepEqual(
    back.texts().map((text) => Number(text.slice(0, 8))),
    Array.from({ length: total }, (_, i) => i + 1),
  );
  // The drain session still needs every payload, which is stored once for both sessions.
  assert.equal((await gateway.broker()).counters.buffered, total);
});

/** Acknowledges messages until `total` have come. */
async function takeAll(client: TestClient, total: number): Promise<void> {
  let taken = 0;
  await until(`${total} messages`, () => {
    const messages = client.publishes();
    for (; taken < messages.length; taken++)
      client.send({ cmd: 'puback', messageId: messages[taken]!.messageId! });
    return taken >= total;
  });
}

it('a persistent session gets its backlog in order, then live messages, each once', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#');
  first.end();
  await first.untilClosed();
  const node = await gateway.node('node-1');
  const count = 500;
  for (let number = 1; number <= count; number++) await node.publish('mesh/x', String(number));
  const [again] = await Promise.all([
    gateway.operator('operator-p', { clean: false }),
    (async () => {
      for (let number = count + 1; number <= count + 200; number++)
        await node.publish('mesh/x', String(number));
    })(),
  ]);
  await takeAll(again, count + 200);
  assert.deepEqual(
    again.texts(),
    Array.from({ length: count + 200 }, (_, index) => String(index + 1)),
  );
  let document = await gateway.broker();
  await until('an empty store', async () => {
    document = await gateway.broker();
    return document.store.bytes === 0;
  });
  assert.equal(document.store.bytes, 0, 'a message that every session has acknowledged is removed');
});

it('an unacknowledged message is sent again with DUP and the same packet id', async (t) => {
  // [MQTT-4.4.0-1]
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#');
  const node = await gateway.node('node-1');
  await node.publish('mesh/x', 'one');
  const before = await first.next('publish');
  first.destroy();
  const again = await gateway.operator('operator-p', { clean: false });
  const after = await again.next('publish');
  assert.deepEqual([before.dup, after.dup, after.messageId], [false, true, before.messageId]);
});

it('a subscriber that reconnects after PUBREC gets the PUBREL, not the message', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#', 2);
  const node = await gateway.node('node-1');
  node.sendPublish('mesh/x', 'x', { qos: 2, messageId: 1 });
  const { messageId } = await first.next('publish');
  first.send({ cmd: 'pubrec', messageId: messageId! });
  await first.next('pubrel');
  first.destroy();
  const again = await gateway.operator('operator-p', { clean: false });
  assert.equal((await again.next('pubrel')).messageId, messageId);
  again.send({ cmd: 'pubcomp', messageId: messageId! });
  assert.deepEqual(again.publishes(), []);
});

it('a wildcard subscription is served at its own QoS, not the publisher’s', async (t) => {
  // [MQTT-3.8.4-6]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#', 1);
  const node = await gateway.node('node-1');
  node.sendPublish('mesh/x', 'x', { qos: 2, messageId: 1 });
  assert.equal((await reader.next('publish')).qos, 1);
});

it('a clean CONNECT ends a session and removes its queue', async (t) => {
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#');
  first.end();
  await first.untilClosed();
  const node = await gateway.node('node-1');
  for (let number = 0; number < 20; number++) await node.publish('mesh/x', String(number));
  assert.ok((await gateway.broker()).store.bytes > 0);
  const clean = await gateway.operator('operator-p');
  const { store, sessions } = await gateway.broker();
  assert.deepEqual([store.bytes, sessions.length, clean.publishes()], [0, 1, []]);
});

it('a retained message reaches new subscribers until an empty payload removes it', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  const topic = 'thermostat/status/d1';
  await device.publish(topic, 'old', { retain: true });
  await device.publish(topic, 'new', { retain: true });
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/status/+');
  const message = await reader.next('publish');
  assert.deepEqual([message.payload.toString(), message.retain], ['new', true]);
  await device.publish(topic, '', { retain: true });
  const late = await gateway.operator('operator-2');
  await late.subscribe('#');
  await device.publish(topic, 'live');
  assert.deepEqual((await late.next('publish')).payload.toString(), 'live');
});

it('a will is published when its device dies, and refused on a foreign topic', async (t) => {
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const will = { topic: 'thermostat/status/d1', payload: Buffer.from('gone'), qos: 1 as const, retain: true };
  const device = await gateway.device('d1', { will });
  device.destroy();
  assert.equal((await reader.next('publish')).payload.toString(), 'gone');
  const other = { ...deviceLogin('d1'), will: { ...will, topic: 'thermostat/status/d2' } };
  assert.equal((await connectClient(gateway.mqttPort, other)).connack.returnCode, 5);
});

it('/v1/broker needs a key; /readyz and /metrics answer without one', async (t) => {
  const gateway = await startGateway(t);
  const url = `http://127.0.0.1:${gateway.httpPort}`;
  assert.equal((await fetch(`${url}/v1/broker`)).status, 401);
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /thermomesh_buffered_messages 0/);
});
