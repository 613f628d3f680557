/** MQTT 3.1.1, sections 3.1.2, 3.14, 4.1 and 4.4: wills, the end of connections, and sessions. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { deviceLogin, startGateway } from '../../../testing.ts';
import { connectClient, type Qos, type TestClient } from '../testing/mqtt-client.ts';
import { packet, takeExactly, untilHandled } from '../testing/raw-packets.ts';

const willOf = (device: string, text: string, more: { qos?: Qos; retain?: boolean } = {}) => ({
  will: {
    topic: `thermostat/status/${device}`,
    payload: Buffer.from(text),
    qos: 1 as Qos,
    retain: false,
    ...more,
  },
});

it('a will is sent at each end of a connection that has no DISCONNECT', async (t) => {
  // [MQTT-3.1.2-8] [MQTT-3.1.2-9] [MQTT-3.1.2-10] [MQTT-4.8.0-1]
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const ends: Record<string, (client: TestClient) => void> = {
    'the socket is destroyed': (client) => client.destroy(),
    'the socket is half closed': (client) => void client.socket.end(),
    'the connection is reset': (client) => void client.socket.resetAndDestroy(),
    'a packet breaks a rule': (client) => void client.socket.write(packet(0x36)),
    'a publish is not allowed': (client) => client.sendPublish('mesh/x', 'x'),
  };
  for (const [number, [name, end]] of Object.entries(ends).entries()) {
    const device = await gateway.device(`d${number}`, willOf(`d${number}`, name));
    end(device);
    await until(`the will after "${name}"`, () => reader.texts().includes(name));
  }
  await untilHandled(reader);
  assert.equal(reader.publishes().length, Object.keys(ends).length, 'each will is sent once');
});

it('a will is never sent after DISCONNECT, nor later', async (t) => {
  // [MQTT-3.1.2-12] [MQTT-3.14.4-3] [MQTT-3.1.2-10]
  const gateway = await startGateway(t, { parts: { heartbeatIntervalMs: 50 } });
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const device = await gateway.device('d1', willOf('d1', 'gone', { retain: true }));
  device.end();
  await device.untilClosed();
  const without = await gateway.device('d1');
  without.destroy();
  await without.untilClosed();
  const other = await gateway.device('d2', willOf('d2', 'end'));
  other.destroy();
  await until('the other will', () => reader.texts().includes('end'));
  // Wills of crashed processes are looked for every 200 ms.
  const beginMs = performance.now();
  await until('two rounds of that', () => performance.now() - beginMs > 500);
  assert.deepEqual(reader.texts(), ['end']);
});

it('a will has the QoS and RETAIN flag of its CONNECT', async (t) => {
  // [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-9]
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#', 2);
  for (const qos of [0, 1, 2] as const) {
    for (const retain of [false, true]) {
      const name = `d${qos}${retain}`;
      const device = await gateway.device(name, willOf(name, `${qos} ${retain}`, { qos, retain }));
      device.destroy();
      const message = await reader.next('publish');
      assert.deepEqual(
        [message.payload.toString(), message.qos, message.retain],
        [`${qos} ${retain}`, qos, false],
      );
      const late = await gateway.operator('operator-late');
      await late.subscribe(`thermostat/status/${name}`, 2);
      await untilHandled(late);
      if (retain) assert.equal((await late.next('publish')).retain, true);
      else assert.deepEqual(late.publishes(), []);
    }
  }
});

it('an empty retained will removes the retained status of its device', async (t) => {
  // [MQTT-3.3.1-10]
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const device = await gateway.device('d1', willOf('d1', '', { retain: true }));
  await device.publish('thermostat/status/d1', 'online', { retain: true });
  device.destroy();
  await until('the will', () => reader.texts().includes(''));
  const late = await gateway.operator('operator-late');
  await late.subscribe('thermostat/#');
  await untilHandled(late);
  assert.deepEqual(late.publishes(), []);
});

it('wills on topics without the right to them are refused at the CONNECT', async (t) => {
  const gateway = await startGateway(t);
  for (const topic of ['thermostat/status/d2', 'thermostat/command/d1', 'mesh/x', '$SYS/x', 'elsewhere']) {
    const will = { topic, payload: Buffer.from('x'), qos: 1 as const, retain: true };
    const { client, connack } = await connectClient(gateway.mqttPort, { ...deviceLogin('d1'), will });
    assert.equal(connack.returnCode, 5, topic);
    await client.untilClosed();
  }
  assert.equal((await gateway.broker()).counters.accepted, 0);
});

it('a session without subscriptions ends after its expiry', async (t) => {
  const gateway = await startGateway(t, { env: { SESSION_EXPIRY_MS: '1000' } });
  const client = await gateway.operator('operator-p', { clean: false });
  const listed = async () =>
    (await gateway.broker()).sessions.some(({ clientId }) => clientId === 'operator-p');
  assert.equal(await listed(), true);
  client.destroy();
  await until('its end', async () => !(await listed()));
});

it('DISCONNECT closes the connection, and what follows it is not processed', async (t) => {
  // [MQTT-3.14.4-1] [MQTT-3.14.4-2]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const client = await gateway.operator();
  client.socket.cork();
  client.end();
  client.socket.uncork();
  await client.untilClosed();
  const hasty = await gateway.operator();
  hasty.socket.write(
    Buffer.concat([packet(0xe0), packet(0x30, Buffer.from([0, 6]), Buffer.from('mesh/xz'))]),
  );
  await hasty.untilClosed();
  await untilHandled(reader);
  assert.deepEqual(reader.publishes(), []);
});

it('a persistent session keeps subscriptions and messages while its client is away', async (t) => {
  // [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-4.1.0-1] [MQTT-4.1.0-2]
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe(['mesh/a', 'mesh/b'], 2);
  await first.subscribe('mesh/c', 0);
  first.destroy();
  await first.untilClosed();
  const sender = await gateway.operator();
  for (const name of ['a', 'b']) {
    await sender.publish(`mesh/${name}`, `${name} 1`);
    sender.sendPublish(`mesh/${name}`, `${name} 2`, { qos: 2, messageId: 100 });
    await sender.next('pubrec');
    sender.send({ cmd: 'pubrel', messageId: 100 });
    await sender.next('pubcomp');
  }
  const again = await gateway.operator('operator-p', { clean: false });
  assert.deepEqual(await takeExactly(again, 4), ['a 1', 'a 2', 'b 1', 'b 2']);
  await sender.publish('mesh/c', 'c');
  await sender.publish('mesh/a', 'live');
  assert.deepEqual((await takeExactly(again, 6)).slice(4).sort(), ['c', 'live']);
});

it('unacknowledged messages are sent again in their order with their packet ids', async (t) => {
  // [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-3.3.1-1] [MQTT-2.3.1-3]
  const gateway = await startGateway(t);
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#', 2);
  const sender = await gateway.operator();
  for (let messageId = 1; messageId <= 20; messageId++)
    sender.sendPublish('mesh/x', String(messageId), { qos: messageId % 2 === 0 ? 1 : 2, messageId });
  await until('the messages', () => first.publishes().length === 20);
  assert.ok(first.publishes().every((message) => !message.dup));
  const sent = new Map(first.publishes().map(({ payload, messageId }) => [payload.toString(), messageId]));
  first.destroy();
  const again = await gateway.operator('operator-p', { clean: false });
  const texts = await takeExactly(again, 20);
  assert.deepEqual(
    texts.map(Number),
    [...texts.map(Number)].sort((a, b) => a - b),
  );
  for (const { payload, messageId, dup } of again.publishes())
    assert.deepEqual([dup, messageId], [true, sent.get(payload.toString())]);
  // Without a reconnect nothing is sent again.
  await untilHandled(again);
  assert.equal(again.publishes().length, 20);
});

it('a clean session takes nothing from the session before it and leaves nothing', async (t) => {
  // [MQTT-3.1.2-6] [MQTT-3.1.4-3]
  const gateway = await startGateway(t);
  const persistent = await gateway.operator('operator-p', { clean: false });
  await persistent.subscribe('mesh/#');
  persistent.destroy();
  const sender = await gateway.operator();
  await sender.publish('mesh/x', 'queued');
  const clean = await gateway.operator('operator-p');
  await sender.publish('mesh/x', 'live');
  await takeExactly(clean, 0);
  await clean.subscribe('mesh/#');
  await sender.publish('mesh/x', 'subscribed');
  await until('the message', () => clean.texts().includes('subscribed'));
  clean.destroy();
  await clean.untilClosed();
  const again = await gateway.operator('operator-p', { clean: false });
  await sender.publish('mesh/x', 'after');
  await takeExactly(again, 0);
});
