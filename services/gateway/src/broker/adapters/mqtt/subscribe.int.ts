/** MQTT 3.1.1, sections 3.8 to 3.12 and 4.7: subscriptions, topics and filters. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { startGateway } from '../../../testing.ts';
import { takeExactly, untilHandled } from '../testing/raw-packets.ts';

it('a SUBACK has the packet id, and one code for each filter in its place', async (t) => {
  // [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT-2.3.1-7]
  const gateway = await startGateway(t);
  for (const clean of [true, false]) {
    const node = await gateway.node('node-1', { clean });
    const subscriptions = (
      [
        ['mesh/a', 2],
        ['mesh/b', 0],
        ['elsewhere/#', 1],
        ['mesh/c', 1],
        ['mesh/a', 0],
        ['elsewhere/#', 2],
        ['mesh/b', 1],
      ] as const
    ).map(([topic, qos]) => ({ topic, qos }));
    for (const messageId of [1, 65_535]) {
      node.send({ cmd: 'subscribe', messageId, subscriptions });
      const suback = await node.next('suback');
      assert.equal(suback.messageId, messageId);
      assert.deepEqual(suback.granted, [2, 0, 0x80, 1, 0, 0x80, 1]);
    }
    // A filter that is named twice counts as in two packets: the last one stays [MQTT-3.8.4-4].
    const sender = await gateway.operator();
    await sender.publish('mesh/a', 'a');
    await sender.publish('mesh/b', 'b');
    await takeExactly(node, 2);
    assert.deepEqual(
      node
        .publishes()
        .map(({ topic, qos }) => [topic, qos])
        .sort(),
      [
        ['mesh/a', 0],
        ['mesh/b', 1],
      ],
    );
    node.end();
    await node.untilClosed();
  }
});

it('a message comes at the lower of its own QoS and the granted one', async (t) => {
  // [MQTT-3.8.4-6]
  const gateway = await startGateway(t);
  const sender = await gateway.operator();
  for (const qos of [0, 1, 2] as const)
    sender.sendPublish(`mesh/retained/${qos}`, `${qos}`, { qos, messageId: 10 + qos, retain: true });
  await sender.next('pubrec');
  for (const clean of [true, false]) {
    for (const granted of [0, 1, 2] as const) {
      for (const filter of ['mesh/#', 'mesh/+/0', 'mesh/retained/1', 'mesh/retained/2']) {
        const reader = await gateway.operator('operator-r', { clean });
        assert.deepEqual(await reader.subscribe(filter, granted), [granted]);
        await untilHandled(reader);
        for (const qos of [0, 1, 2] as const)
          sender.sendPublish(`mesh/retained/${qos}`, `${qos}`, { qos, messageId: 20 + qos });
        await sender.next('pubrec');
        sender.send({ cmd: 'pubrel', messageId: 22 });
        await sender.next('pubcomp');
        const expected = filter === 'mesh/#' ? 6 : 2;
        await until('the messages', () => reader.publishes().length >= expected);
        for (const { topic, qos, payload } of reader.publishes())
          assert.equal(
            qos,
            Math.min(Number(payload.toString()), granted),
            `${filter} at ${granted}: ${topic}`,
          );
        const end = await gateway.operator('operator-r');
        end.end();
        await end.untilClosed();
      }
    }
  }
});

it('overlapping subscriptions deliver once, at the highest granted QoS', async (t) => {
  // [MQTT-3.3.5-1]
  const gateway = await startGateway(t);
  const sender = await gateway.operator();
  const orders = [
    [
      ['mesh/#', 0],
      ['mesh/x', 2],
    ],
    [
      ['mesh/x', 0],
      ['mesh/#', 2],
    ],
    [
      ['mesh/x', 2],
      ['mesh/#', 0],
    ],
    [
      ['mesh/#', 2],
      ['mesh/x', 0],
    ],
    [
      ['mesh/+', 1],
      ['mesh/#', 2],
      ['mesh/x', 0],
    ],
  ] as [string, 0 | 1 | 2][][];
  for (const clean of [true, false]) {
    for (const [number, filters] of orders.entries()) {
      const reader = await gateway.operator(`operator-${clean}-${number}`, { clean });
      for (const [filter, qos] of filters) await reader.subscribe(filter, qos);
      for (const qos of [0, 1, 2] as const)
        sender.sendPublish('mesh/x', `${qos}`, { qos, messageId: 30 + qos });
      await sender.next('pubrec');
      sender.send({ cmd: 'pubrel', messageId: 32 });
      await sender.next('pubcomp');
      assert.deepEqual((await takeExactly(reader, 3)).sort(), ['0', '1', '2']);
      for (const { qos, payload } of reader.publishes())
        assert.equal(qos, Number(payload.toString()), `${clean} ${JSON.stringify(filters)}`);
      reader.destroy();
    }
  }
});

it('a subscription made again replaces the old one and gets retained messages', async (t) => {
  // [MQTT-3.8.4-3]
  const gateway = await startGateway(t);
  const sender = await gateway.operator();
  await sender.publish('mesh/kept', 'kept', { retain: true });
  for (const clean of [true, false]) {
    const reader = await gateway.operator(`operator-${clean}`, { clean });
    for (const qos of [1, 0, 2, 2] as const) {
      const before = reader.publishes().length;
      await reader.subscribe('mesh/#', qos);
      await until('the retained message', () => reader.publishes().length === before + 1);
      assert.deepEqual([reader.texts().at(-1), reader.publishes().at(-1)?.retain], ['kept', true]);
      sender.sendPublish('mesh/x', 'x', { qos: 2, messageId: 7 });
      await until('the live message', () => reader.publishes().length === before + 2);
      assert.equal(reader.publishes().at(-1)?.qos, qos);
      await untilHandled(reader);
      assert.equal(reader.publishes().length, before + 2, 'only one subscription is left');
      sender.send({ cmd: 'pubrel', messageId: 7 });
      await sender.next('pubcomp');
    }
  }
});

it('a subscription that is replaced under load misses no message', async (t) => {
  // [MQTT-3.8.4-3]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#', 1);
  const sender = await gateway.operator();
  const total = 1_000;
  for (let messageId = 1; messageId <= total; messageId++) {
    sender.sendPublish('mesh/x', String(messageId), { messageId });
    if (messageId % 50 === 0) await reader.subscribe('mesh/#', (messageId / 50) % 2 === 0 ? 1 : 2);
  }
  await until('the messages', () => new Set(reader.texts()).size === total);
});

it('UNSUBSCRIBE ends exactly the named subscriptions and is always answered', async (t) => {
  // [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
  const gateway = await startGateway(t);
  const sender = await gateway.operator();
  for (const clean of [true, false]) {
    const reader = await gateway.operator('operator-r', { clean });
    await reader.subscribe(['mesh/+/a', 'mesh/x/a', 'mesh/x/b', 'mesh/x/c']);
    const unsubscribe = async (messageId: number, ...unsubscriptions: string[]) => {
      reader.send({ cmd: 'unsubscribe', messageId, unsubscriptions });
      assert.equal((await reader.next('unsuback')).messageId, messageId);
    };
    await unsubscribe(1, 'mesh/+/b', 'mesh/#', 'mesh/x', 'mesh/X/a');
    await unsubscribe(65_535, 'mesh/x/a', 'never/subscribed', 'mesh/x/b', 'mesh/x/b');
    for (const name of ['a', 'b', 'c']) await sender.publish(`mesh/x/${name}`, name);
    assert.deepEqual((await takeExactly(reader, 2)).sort(), ['a', 'c'], 'mesh/+/a and mesh/x/c are left');
    await unsubscribe(3, 'mesh/+/a', 'mesh/x/c');
    for (const name of ['a', 'b', 'c']) await sender.publish(`mesh/x/${name}`, name);
    await takeExactly(reader, 2);
  }
});

it('a filter too long to be stored is refused, and stops no other client', async (t) => {
  const gateway = await startGateway(t);
  for (const client of [
    await gateway.device('d1', { clean: false }),
    await gateway.operator('operator-1', { clean: false }),
  ]) {
    for (const topic of ['a'.repeat(2_000), 'ü'.repeat(1_000), 'a'.repeat(65_535)]) {
      client.send({ cmd: 'unsubscribe', messageId: 7, unsubscriptions: [topic] });
      assert.equal((await client.next('unsuback')).messageId, 7);
      assert.deepEqual(await client.subscribe(topic), [0x80]);
    }
  }
  const neighbour = await gateway.device('d2');
  await neighbour.publish('thermostat/data', '{"seq":1}');
});

it('what was sent before UNSUBSCRIBE can still be acknowledged, and comes again', async (t) => {
  // [MQTT-3.10.4-3]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-p', { clean: false });
  await reader.subscribe('mesh/#', 2);
  const sender = await gateway.operator();
  await sender.publish('mesh/x', 'one');
  sender.sendPublish('mesh/x', 'two', { qos: 2, messageId: 9 });
  await until('both', () => reader.publishes().length === 2);
  reader.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['mesh/#'] });
  await reader.next('unsuback');
  reader.send({ cmd: 'puback', messageId: reader.publishes()[0]!.messageId! });
  await untilHandled(reader);
  reader.destroy();
  const again = await gateway.operator('operator-p', { clean: false });
  assert.deepEqual(await takeExactly(again, 1), ['two']);
  const { dup, messageId } = again.publishes()[0]!;
  assert.equal(dup, true);
  again.send({ cmd: 'pubrec', messageId: messageId! });
  await again.next('pubrel');
  again.send({ cmd: 'pubcomp', messageId: messageId! });
});

it('filters match topics level by level, and wildcards match no topic with $', async (t) => {
  // [MQTT-3.3.2-3] [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.2-1]
  const gateway = await startGateway(t);
  const sender = await gateway.operator('operator-sender');
  const topics = ['mesh/a', 'mesh/a/b', 'mesh/a/b/c', 'mesh//b', 'mesh/', 'mesh/A', 'mesh/a/'];
  const cases: Record<string, string[]> = {
    '#': topics,
    'mesh/#': topics,
    'mesh/a/#': ['mesh/a', 'mesh/a/b', 'mesh/a/b/c', 'mesh/a/'],
    'mesh/+': ['mesh/a', 'mesh/', 'mesh/A'],
    '+/+': ['mesh/a', 'mesh/', 'mesh/A'],
    'mesh/+/b': ['mesh/a/b', 'mesh//b'],
    '+/a/+': ['mesh/a/b', 'mesh/a/'],
    'mesh/+/#': topics,
    '/+': [],
    '+': [],
    'mesh/a': ['mesh/a'],
    'mesh//b': ['mesh//b'],
    'Mesh/a': [],
  };
  const readers = await Promise.all(
    Object.entries(cases).map(async ([filter, expected], number) => {
      const reader = await gateway.operator(`operator-${number}`, { clean: number % 2 === 0 });
      await reader.subscribe(filter);
      return { filter, expected, reader };
    }),
  );
  const system = await gateway.operator('operator-system');
  await system.subscribe('$SYS/#');
  for (const topic of topics) await sender.publish(topic, topic);
  // Each client that comes causes a message below $SYS.
  await gateway.operator('operator-new');
  await until('a message below $SYS', () => system.publishes().length > 0);
  for (const { filter, expected, reader } of readers)
    assert.deepEqual((await takeExactly(reader, expected.length)).sort(), [...expected].sort(), filter);
});

it('a PINGREQ is answered', async (t) => {
  // [MQTT-3.12.4-1]
  const gateway = await startGateway(t);
  const client = await gateway.operator();
  for (let round = 0; round < 3; round++) await untilHandled(client);
});
