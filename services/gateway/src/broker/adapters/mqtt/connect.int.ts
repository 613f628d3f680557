/** MQTT 3.1.1, sections 3.1 and 3.2: CONNECT and CONNACK. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import type { IConnectPacket } from 'mqtt-packet';
import { deviceLogin, folderFor, operatorLogin, startGateway } from '../../../testing.ts';
import { createMemoryStore } from '../../core/memory-store.ts';
import { connectClient, openSocket, wrap, type TestClient } from '../testing/mqtt-client.ts';
import {
  answerTo,
  clientAfter,
  connectFlags,
  credentials,
  field,
  packet,
  packetId,
  rawConnect,
  untilHandled,
} from '../testing/raw-packets.ts';

const { clean, password, username, will, willRetain } = connectFlags;
const login = username | password | clean;
const id = field('operator-1');
const illFormed = Buffer.from([0xc3, 0x28]);

it('a first packet that is no CONNECT closes the connection without an answer', async (t) => {
  // [MQTT-3.1.0-1]
  const gateway = await startGateway(t);
  const first = {
    PUBLISH: packet(0x30, field('mesh/x'), [1]),
    PUBREL: packet(0x62, packetId(1)),
    SUBSCRIBE: packet(0x82, packetId(1), field('#'), [0]),
    PINGREQ: packet(0xc0),
    DISCONNECT: packet(0xe0),
    'a reserved type': packet(0x00),
  };
  for (const [name, bytes] of Object.entries(first))
    assert.deepEqual(await answerTo(gateway, bytes), [], name);
});

it('a second CONNECT closes the connection', async (t) => {
  // [MQTT-3.1.0-2]
  const gateway = await startGateway(t);
  const client = await gateway.operator();
  client.socket.write(rawConnect());
  await client.untilClosed();
  assert.equal(client.received.length, 1, 'no second CONNACK');
  // Both in one segment.
  const hasty = await clientAfter(gateway, Buffer.concat([rawConnect(), rawConnect()]));
  await hasty.untilClosed();
  assert.ok(hasty.received.length <= 1);
});

const malformed: Record<string, Buffer> = {
  '[MQTT-3.1.2-3] reserved flag': rawConnect({ flags: login | 1 }),
  '[MQTT-3.1.2-9] will without its fields': rawConnect({ flags: clean | will, fields: [id] }),
  '[MQTT-3.1.2-11] will fields without the flag': rawConnect({
    flags: login,
    fields: [id, field('mesh/will'), field('x'), ...credentials],
  }),
  '[MQTT-3.1.2-13] will QoS without a will': rawConnect({ flags: login | 0x08 }),
  '[MQTT-3.1.2-14] will QoS 3': rawConnect({
    flags: login | will | 0x18,
    fields: [id, field('mesh/will'), field('x'), ...credentials],
  }),
  '[MQTT-3.1.2-15] will retain without a will': rawConnect({ flags: login | willRetain }),
  '[MQTT-3.1.2-18] user name without its flag': rawConnect({ flags: clean, fields: [id, credentials[0]!] }),
  '[MQTT-3.1.2-19] user name flag alone': rawConnect({ flags: clean | username, fields: [id] }),
  '[MQTT-3.1.2-20] password without its flag': rawConnect({ flags: clean | username }),
  '[MQTT-3.1.2-21] password flag alone': rawConnect({ flags: login, fields: [id, credentials[0]!] }),
  '[MQTT-3.1.2-22] password without a user name': rawConnect({
    flags: clean | password,
    fields: [id, credentials[1]!],
  }),
  '[MQTT-3.1.3-1] user name before the client id': rawConnect({
    fields: [credentials[0]!, id, Buffer.from([0xff])],
  }),
  '[MQTT-3.1.3-3] no client id': rawConnect({ flags: clean, fields: [] }),
  '[MQTT-3.1.3-4] ill-formed client id': rawConnect({ fields: [field(illFormed), ...credentials] }),
  '[MQTT-1.5.3-2] U+0000 in a client id': rawConnect({ fields: [field('operator\0'), ...credentials] }),
  '[MQTT-3.1.3-10] ill-formed will topic': rawConnect({
    flags: login | will,
    fields: [id, field(illFormed), field('x'), ...credentials],
  }),
  '[MQTT-3.1.3-11] ill-formed user name': rawConnect({ fields: [id, field(illFormed), credentials[1]!] }),
  '[MQTT-4.7.1-1] wildcard in the will topic': rawConnect({
    flags: login | will,
    fields: [id, field('mesh/#'), field('x'), ...credentials],
  }),
  '[MQTT-4.7.3-1] empty will topic': rawConnect({
    flags: login | will,
    fields: [id, field(''), field('x'), ...credentials],
  }),
  'bytes after the last field': rawConnect({ after: Buffer.from([0]) }),
  'a field longer than the packet': packet(0x10, field('MQTT'), [4, login], packetId(60), [0, 99, 65]),
};

it('a malformed CONNECT is cut off without a CONNACK', async (t) => {
  // [MQTT-3.1.4-1]
  const gateway = await startGateway(t);
  for (const [name, bytes] of Object.entries(malformed))
    assert.deepEqual(await answerTo(gateway, bytes), [], name);
  // What differs from them is only the fault: the same CONNECT without it is accepted.
  const client = await clientAfter(gateway, rawConnect());
  assert.equal((await client.next('connack')).returnCode, 0);
});

it('a malformed CONNECT of the drain session is refused and delivers nothing', async (t) => {
  const gateway = await startGateway(t);
  const device = await gateway.device('d1');
  await device.publish('thermostat/data', 'x');
  const drain = field('thermomesh-drain');
  for (const fields of [[drain], [drain, field(illFormed), credentials[1]!], [drain, ...credentials, [0]]]) {
    const bytes = rawConnect({ flags: username | password, fields: fields.map((part) => Buffer.from(part)) });
    assert.notEqual((await answerTo(gateway, bytes))[3], 0);
  }
  assert.equal((await gateway.broker()).counters.buffered, 1);
});

it('client ids of 1 to 23 letters and digits are accepted', async (t) => {
  // [MQTT-3.1.3-5]
  const gateway = await startGateway(t);
  for (const clientId of ['a', '0', 'Z9', '0123456789abcdefghijklm', 'nopqrstuvwxyzABCDEFGHIJ']) {
    await gateway.operator(clientId);
    const device = await gateway.device(clientId, { clientId });
    await device.publish('thermostat/data', 'x');
  }
});

it('an empty client id with a clean session gets an id of its own', async (t) => {
  // [MQTT-3.1.3-6]
  const gateway = await startGateway(t);
  const [one, two] = [await gateway.operator(''), await gateway.operator('')];
  await one.subscribe('mesh/#');
  await two.publish('mesh/x', 'hello');
  assert.equal((await one.next('publish')).payload.toString(), 'hello');
  assert.deepEqual([one.closed, two.closed], [false, false]);
});

it('a client id that is too long gets CONNACK 2 and is cut off', async (t) => {
  // [MQTT-3.1.3-9]
  const gateway = await startGateway(t);
  const bytes = rawConnect({ fields: [field('x'.repeat(300)), ...credentials] });
  assert.deepEqual(await answerTo(gateway, bytes), [0x20, 2, 0, 2]);
  const longest = rawConnect({ fields: [field('x'.repeat(256)), ...credentials] });
  assert.equal((await (await clientAfter(gateway, longest)).next('connack')).returnCode, 0);
});

it('after a refused CONNECT nothing is processed, and the connection is closed', async (t) => {
  // [MQTT-3.1.4-5] [MQTT-3.2.2-4] [MQTT-3.2.2-5]
  const gateway = await startGateway(t);
  const persistent = await gateway.operator('operator-1', { clean: false });
  await persistent.subscribe('mesh/#');
  persistent.end();
  await persistent.untilClosed();
  const wrong = rawConnect({
    flags: username | password,
    fields: [id, credentials[0]!, field('wrong')],
  });
  const more = Buffer.concat([
    packet(0x32, field('mesh/x'), packetId(1), [0x78]),
    packet(0x82, packetId(2), field('#'), [1]),
  ]);
  assert.deepEqual(await answerTo(gateway, Buffer.concat([wrong, more])), [0x20, 2, 0, 5]);
  const { sessions } = await gateway.broker();
  assert.equal(sessions.find(({ clientId }) => clientId === 'operator-1')?.queued, 0);
  assert.deepEqual(sessions.find(({ clientId }) => clientId === 'operator-1')?.subscriptions, ['mesh/#']);
});

it('packets that follow a CONNECT in its segment are handled after the CONNACK', async (t) => {
  // [MQTT-3.2.0-1] [MQTT-3.1.4-4]
  const gateway = await startGateway(t);
  const total = 500;
  const publishes = Array.from({ length: total }, (_, index) =>
    packet(0x32, field('mesh/x'), packetId(index + 1), [0x78]),
  );
  const client = await clientAfter(gateway, Buffer.concat([rawConnect(), ...publishes]));
  await until('the answers', () => client.received.length === total + 1 || client.closed);
  assert.equal(client.received[0]?.cmd, 'connack');
  assert.equal(client.received.filter(({ cmd }) => cmd === 'puback').length, total);
});

it('the CONNACK of a resumed session comes before its live messages', async (t) => {
  // [MQTT-3.2.0-1]
  const store = createMemoryStore();
  const gateway = await startGateway(t, { parts: { store } });
  const first = await gateway.operator('operator-p', { clean: false });
  await first.subscribe('mesh/#', 1);
  first.end();
  await first.untilClosed();
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const sender = await gateway.operator();
  // The CONNACK waits for the will to be stored; the subscriptions are there before.
  store.holdSync();
  const again = wrap(await openSocket(gateway.mqttPort));
  const will = { topic: 'mesh/will', payload: Buffer.from('x'), qos: 0 as const, retain: false };
  again.send({ ...connectPacket('operator-p'), clean: false, will });
  await until('the will', () => [...store.keys('wills')].length === 1);
  for (let number = 1; number <= 20; number++) {
    sender.sendPublish('mesh/x', 'zero', { qos: 0 });
    sender.sendPublish('mesh/x', `one ${number}`, { messageId: number });
  }
  await until('the live messages', () => reader.texts().includes('zero'));
  assert.equal(again.received.length, 0);
  store.releaseSync();
  await until('the messages', () => again.texts().includes('one 20'));
  assert.equal(again.received[0]?.cmd, 'connack');
  const ones = again.texts().filter((text) => text !== 'zero');
  assert.deepEqual(
    ones,
    Array.from({ length: 20 }, (_, index) => `one ${index + 1}`),
  );
});

/** A CONNECT of the operator. */
function connectPacket(clientId: string): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    keepalive: 60,
    ...operatorLogin(clientId),
  };
}

it('session present is set exactly when the broker has a session', async (t) => {
  // [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
  const folder = await folderFor(t);
  let gateway = await startGateway(t, { folder });
  const present = async (clean: boolean, act?: (client: TestClient) => Promise<unknown>) => {
    const login = { ...operatorLogin('operator-p'), clean };
    const { client, connack } = await connectClient(gateway.mqttPort, login);
    await act?.(client);
    await untilHandled(client);
    client.end();
    await client.untilClosed();
    return connack.sessionPresent;
  };
  assert.equal(await present(false), false);
  assert.equal(await present(false), true, 'a session without subscriptions is one too');
  assert.equal(await present(true), false);
  assert.equal(await present(true), false);
  assert.equal(await present(false, (client) => client.subscribe('mesh/#')), false);
  const end = async (client: TestClient) => {
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['mesh/#'] });
    await client.next('unsuback');
  };
  assert.equal(await present(false, end), true);
  await until('the record', async () => (await gateway.broker()).store.state === 'ok');
  await gateway.stop();
  gateway = await startGateway(t, { folder });
  assert.equal(await present(false), true, 'the session outlives a restart');
  assert.equal(await present(true), false);
  await gateway.stop();
  gateway = await startGateway(t, { folder });
  assert.equal(await present(false), false, 'its end outlives a restart');
});

it('a second connection with a client id closes the first, whose will is sent', async (t) => {
  // [MQTT-3.1.4-2] [MQTT-3.1.2-8]
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const message = (text: string) => ({
    will: { topic: 'thermostat/status/d1', payload: Buffer.from(text), qos: 1 as const, retain: false },
  });
  const first = await gateway.device('d1', message('first'));
  const second = await gateway.device('d1', message('second'));
  await first.untilClosed();
  assert.equal((await reader.next('publish')).payload.toString(), 'first');
  await second.publish('thermostat/data', 'still here');
  second.destroy();
  await until('the second will', () => reader.texts().includes('second'));
});

it('a silent client is cut off after 1.5 keep-alives, and its will is sent', async (t) => {
  // [MQTT-3.1.2-24]
  const gateway = await startGateway(t);
  const reader = await gateway.operator();
  await reader.subscribe('thermostat/#');
  const status = {
    topic: 'thermostat/status/d1',
    payload: Buffer.from('gone'),
    qos: 1 as const,
    retain: false,
  };
  const silent = await gateway.device('d1', { keepalive: 1, will: status });
  const alive = await gateway.device('d2', { keepalive: 1 });
  const without = await gateway.device('d3', { keepalive: 0 });
  const longest = await gateway.device('d4', { keepalive: 65_535 });
  const beginMs = performance.now();
  const pings = setInterval(() => alive.send({ cmd: 'pingreq' }), 500);
  t.after(() => clearInterval(pings));
  await silent.untilClosed();
  const afterMs = performance.now() - beginMs;
  assert.ok(afterMs > 1_000 && afterMs < 5_000, `after ${afterMs} ms`);
  assert.equal((await reader.next('publish')).payload.toString(), 'gone');
  // The others go on for longer than the keep-alive of the silent one.
  while (performance.now() - beginMs < 3_500) {
    for (const client of [alive, without, longest]) assert.equal(client.closed, false);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await without.publish('thermostat/data', 'x');
});

it('a client id that differs only in its fields gets no rights of another', async (t) => {
  // [MQTT-3.1.3-2]
  const gateway = await startGateway(t);
  for (const clientId of ['d1', 'd1/b']) {
    const login = { ...deviceLogin('d2'), clientId };
    assert.equal((await connectClient(gateway.mqttPort, login)).connack.returnCode, 5);
  }
  const [one, two] = [await gateway.device('d1'), await gateway.device('d1', { clientId: 'd1/b' })];
  await one.publish('thermostat/data', 'x');
  await two.publish('thermostat/data', 'y');
  assert.deepEqual([one.closed, two.closed], [false, false]);
});
