/** MQTT 3.1.1: packets that close the connection, because they break a rule of the protocol. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { startGateway } from '../../../testing.ts';
import { expectClosed, field, packet, packetId, takeExactly, untilHandled } from '../testing/raw-packets.ts';

const topic = field('mesh/x');
const id = packetId(1);
const illFormed = {
  'an overlong encoding': Buffer.from([0xc0, 0x80]),
  'a lone surrogate': Buffer.from([0xed, 0xa0, 0x80]),
  'a cut sequence': Buffer.from([0x61, 0xe2, 0x82]),
  'a byte that no sequence has': Buffer.from([0xff]),
};

it('reserved flags that are not as in the standard close the connection', async (t) => {
  // [MQTT-2.2.2-1] [MQTT-2.2.2-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1]
  const gateway = await startGateway(t);
  const right = {
    PUBACK: packet(0x40, id),
    PUBREC: packet(0x50, id),
    PUBREL: packet(0x62, id),
    PUBCOMP: packet(0x70, id),
    SUBSCRIBE: packet(0x82, id, topic, [1]),
    UNSUBSCRIBE: packet(0xa2, id, topic),
    PINGREQ: packet(0xc0),
    DISCONNECT: packet(0xe0),
  };
  for (const [name, bytes] of Object.entries(right)) {
    for (const flag of [1, 2, 4, 8]) {
      const wrong = Buffer.from(bytes);
      wrong[0]! ^= flag;
      await expectClosed(gateway, wrong, `${name} with flag ${flag}`);
    }
  }
});

it('packets that only a server sends, and reserved types, close the connection', async (t) => {
  // [MQTT-4.8.0-1]
  const gateway = await startGateway(t);
  const packets = {
    'type 0': packet(0x00),
    CONNACK: packet(0x20, [0, 0]),
    SUBACK: packet(0x90, id, [0]),
    UNSUBACK: packet(0xb0, id),
    PINGRESP: packet(0xd0),
    'type 15': packet(0xf0),
  };
  for (const [name, bytes] of Object.entries(packets)) await expectClosed(gateway, bytes, name);
});

it('a remaining length that is too long or does not fit closes the connection', async (t) => {
  // [MQTT-4.8.0-1]
  const gateway = await startGateway(t);
  const packets = {
    'five bytes of length': Buffer.from([0xc0, 0x80, 0x80, 0x80, 0x80, 0x00]),
    'PINGREQ with a body': packet(0xc0, [0]),
    'DISCONNECT with a body': packet(0xe0, [0]),
    'PUBACK with a body': packet(0x40, id, [0]),
    'PUBACK without a packet id': packet(0x40),
    'PUBREC with half a packet id': packet(0x50, [1]),
    'PUBREL with a body': packet(0x62, id, [0, 0]),
    'PUBLISH without a topic': packet(0x30),
    'PUBLISH whose topic is longer than the packet': packet(0x30, [0, 9, 0x61]),
    'SUBSCRIBE without its QoS': packet(0x82, id, topic),
    'SUBSCRIBE whose filter is longer than the packet': packet(0x82, id, [0, 9, 0x61]),
    'UNSUBSCRIBE whose filter is longer than the packet': packet(0xa2, id, [0, 9, 0x61]),
  };
  for (const [name, bytes] of Object.entries(packets)) await expectClosed(gateway, bytes, name);
});

it('ill-formed UTF-8 and U+0000 close the connection, wherever a string stands', async (t) => {
  // [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.3.2-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-4.7.3-2]
  const gateway = await startGateway(t);
  const strings = { ...illFormed, 'U+0000': Buffer.from([0x61, 0, 0x62]) };
  for (const [name, bytes] of Object.entries(strings)) {
    const text = field(Buffer.concat([Buffer.from('mesh/'), bytes]));
    await expectClosed(gateway, packet(0x30, text, [1]), `PUBLISH: ${name}`);
    await expectClosed(gateway, packet(0x32, text, id, [1]), `PUBLISH at QoS 1: ${name}`);
    await expectClosed(gateway, packet(0x82, id, topic, [0], text, [0]), `SUBSCRIBE: ${name}`);
    await expectClosed(gateway, packet(0xa2, id, topic, text), `UNSUBSCRIBE: ${name}`);
  }
});

it('strings with any other character, U+FEFF and U+FFFD included, arrive unchanged', async (t) => {
  // [MQTT-1.5.3-3] [MQTT-4.7.3-4]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const sender = await gateway.operator();
  const topics = ['\uFEFFa', 'a\uFEFF', '\uFFFD', 'e\u0301', '\u00E9', 'Ä ö', '💡', 'A', 'a', ' ', '//'];
  for (const name of topics) await sender.publish(`mesh/${name}`, name);
  await takeExactly(reader, topics.length);
  assert.deepEqual(
    reader.publishes().map((message) => message.topic),
    topics.map((name) => `mesh/${name}`),
  );
  // No form of a character is taken for another one.
  const exact = await gateway.operator('operator-x');
  assert.deepEqual(await exact.subscribe(['mesh/\u00E9', 'mesh/a']), [1, 1]);
  for (const name of topics) await sender.publish(`mesh/${name}`, name);
  assert.deepEqual(await takeExactly(exact, 2), ['\u00E9', 'a']);
});

it('a PUBLISH with QoS 3, or with DUP at QoS 0, closes the connection', async (t) => {
  // [MQTT-3.3.1-4] [MQTT-3.3.1-2]
  const gateway = await startGateway(t);
  for (const flags of [0x06, 0x07, 0x0e])
    await expectClosed(gateway, packet(0x30 | flags, topic, id, [1]), `flags ${flags}`);
  await expectClosed(gateway, packet(0x38, topic, [1]), 'DUP at QoS 0');
});

it('a PUBLISH to no topic or to a topic with a wildcard closes the connection', async (t) => {
  // [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1]
  const gateway = await startGateway(t);
  for (const name of ['', '#', '+', 'mesh/#', 'mesh/+/x', 'mesh/x#', 'mesh/x+']) {
    await expectClosed(gateway, packet(0x30, field(name), [1]), `QoS 0 to "${name}"`);
    await expectClosed(gateway, packet(0x32, field(name), id, [1]), `QoS 1 to "${name}"`);
  }
});

it('a SUBSCRIBE with reserved bits or QoS 3 closes the connection', async (t) => {
  // [MQTT-3.8.3-4]
  const gateway = await startGateway(t);
  for (const options of [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff])
    await expectClosed(gateway, packet(0x82, id, topic, [options]), `options ${options}`);
  await expectClosed(gateway, packet(0x82, id, topic, [1], topic, [3]), 'the second filter');
});

it('a filter with a misplaced wildcard, or an empty one, closes the connection', async (t) => {
  // [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1]
  const gateway = await startGateway(t);
  const filters = [
    '',
    'mesh/#/x',
    'mesh/x#',
    '#/x',
    '##',
    'mesh/x+',
    'mesh/+x',
    'mesh/x+/y',
    '+x',
    'mesh/#x',
  ];
  for (const filter of filters) {
    await expectClosed(gateway, packet(0x82, id, field(filter), [1]), `SUBSCRIBE "${filter}"`);
    await expectClosed(gateway, packet(0xa2, id, field(filter)), `UNSUBSCRIBE "${filter}"`);
  }
});

it('a packet that breaks a rule disturbs no other client', async (t) => {
  const gateway = await startGateway(t);
  const neighbour = await gateway.operator('operator-n');
  await neighbour.subscribe('mesh/#');
  await expectClosed(gateway, packet(0x36, topic, id, [1]), 'QoS 3');
  await expectClosed(gateway, packet(0x82, id, field('mesh/#/x'), [1]), 'a filter');
  await untilHandled(neighbour);
  const sender = await gateway.operator();
  await sender.publish('mesh/x', 'x');
  await until('the message', () => neighbour.texts().length === 1);
});
