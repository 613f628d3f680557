import assert from 'node:assert/strict';
import { it } from 'node:test';
import mqtt, { type IConnectPacket } from 'mqtt-packet';
import { operatorLogin, startGateway, type TestGateway } from '../../testing.ts';
import { answerTo, expectClosed } from './testing/raw-packets.ts';

const connect = (more: Partial<IConnectPacket>) =>
  mqtt.generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    ...operatorLogin('operator-1'),
    ...more,
  });

const refusals = async (gateway: TestGateway) => (await gateway.broker()).counters.refusedConnections;

it('an empty client id without a clean session gets CONNACK 2 and is cut off', async (t) => {
  // [MQTT-3.1.3-8]
  const gateway = await startGateway(t);
  const bytes = connect({ clientId: 'x', clean: false });
  const at = bytes.indexOf(Buffer.from([0, 1, 0x78]));
  const empty = Buffer.concat([bytes.subarray(0, at), Buffer.from([0, 0]), bytes.subarray(at + 3)]);
  empty[1]! -= 1;
  assert.deepEqual(await answerTo(gateway, empty), [0x20, 2, 0, 2]);
  assert.equal(await refusals(gateway), 1);
});

it('an MQTT 5 CONNECT gets CONNACK 1 in the format of MQTT 3.1.1 and is cut off', async (t) => {
  // [MQTT-3.1.2-2]
  const gateway = await startGateway(t);
  const properties = { sessionExpiryInterval: 60, receiveMaximum: 10 };
  const bytes = connect({ protocolVersion: 5, properties });
  assert.deepEqual(await answerTo(gateway, bytes), [0x20, 2, 0, 1]);
  // More that follows in the same segment does not destroy the answer.
  const more = Buffer.concat([bytes, Buffer.alloc(100_000, 0xc0)]);
  assert.deepEqual(await answerTo(gateway, more), [0x20, 2, 0, 1]);
  assert.equal(await refusals(gateway), 2);
});

it('every unknown protocol level gets CONNACK 1 and is cut off', async (t) => {
  // [MQTT-3.1.2-2]
  const gateway = await startGateway(t);
  for (const level of [0, 1, 2, 3, 6, 127, 128, 133, 255]) {
    const bytes = connect({});
    bytes[bytes.indexOf('MQTT') + 4] = level;
    assert.deepEqual(await answerTo(gateway, bytes), [0x20, 2, 0, 1], `level ${level}`);
  }
});

it('another protocol name is cut off without an answer', async (t) => {
  // [MQTT-3.1.2-1]
  const gateway = await startGateway(t);
  const bytes = connect({});
  bytes.write('MQTS', bytes.indexOf('MQTT'));
  assert.deepEqual(await answerTo(gateway, bytes), []);
});

it('a shared subscription gets 0x80, and the filters beside it are granted', async (t) => {
  const gateway = await startGateway(t);
  for (const clean of [true, false]) {
    const client = await gateway.operator('operator-1', { clean });
    const filters = ['$share/group/thermostat/#', 'mesh/#', '$share/group/#'];
    assert.deepEqual(await client.subscribe(filters), [0x80, 1, 0x80]);
    client.destroy();
  }
  const { sessions } = await gateway.broker();
  assert.deepEqual(sessions.find(({ clientId }) => clientId === 'operator-1')?.subscriptions, ['mesh/#']);
});

it('packet id 0 closes the connection without an answer or a stored message', async (t) => {
  // [MQTT-2.3.1-1]
  const gateway = await startGateway(t);
  const topic = [0, 6, ...Buffer.from('mesh/x')];
  const packets = {
    'PUBLISH at QoS 1': [0x32, 11, ...topic, 0, 0, 0x78],
    'PUBLISH at QoS 2': [0x34, 11, ...topic, 0, 0, 0x78],
    'PUBLISH without a packet id': [0x32, 8, ...topic],
    SUBSCRIBE: [0x82, 11, 0, 0, ...topic, 1],
    UNSUBSCRIBE: [0xa2, 10, 0, 0, ...topic],
  };
  for (const [name, bytes] of Object.entries(packets)) {
    await expectClosed(gateway, bytes, name);
  }
});

it('SUBSCRIBE and UNSUBSCRIBE without a topic filter close the connection', async (t) => {
  // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
  const gateway = await startGateway(t);
  await expectClosed(gateway, [0x82, 2, 0, 1], 'SUBSCRIBE');
  await expectClosed(gateway, [0xa2, 2, 0, 1], 'UNSUBSCRIBE');
});
