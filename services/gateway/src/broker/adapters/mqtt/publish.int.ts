/** MQTT 3.1.1, sections 3.3 to 3.7, 4.3 and 4.6: PUBLISH, its answers, and retained messages. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import { startGateway } from '../../../testing.ts';
import { takeExactly, untilHandled } from '../testing/raw-packets.ts';

it('each PUBLISH is answered as its QoS demands, with its own packet id', async (t) => {
  // [MQTT-3.3.4-1] [MQTT-2.3.1-5] [MQTT-2.3.1-6] [MQTT-4.3.1-1] [MQTT-4.3.2-2]
  const gateway = await startGateway(t);
  const client = await gateway.operator();
  client.sendPublish('mesh/x', 'zero', { qos: 0 });
  await untilHandled(client);
  assert.equal(client.received.length, 2, 'no answer at QoS 0');
  for (const messageId of [1, 255, 256, 65_535, 1]) {
    client.sendPublish('mesh/x', 'one', { messageId });
    assert.equal((await client.next('puback')).messageId, messageId);
    client.sendPublish('mesh/x', 'two', { qos: 2, messageId });
    assert.equal((await client.next('pubrec')).messageId, messageId);
    client.send({ cmd: 'pubrel', messageId });
    assert.equal((await client.next('pubcomp')).messageId, messageId);
  }
});

it('after its PUBACK a packet id is a new message, whatever its DUP flag says', async (t) => {
  // [MQTT-4.3.2-2]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const sender = await gateway.operator();
  for (const dup of [false, true, true]) await sender.publish('mesh/x', `${dup}`, { messageId: 7, dup });
  assert.deepEqual(await takeExactly(reader, 3), ['false', 'true', 'true']);
  assert.ok(reader.publishes().every((message) => !message.dup));
});

it('a repeated QoS 2 PUBLISH is answered, and delivered once until its PUBREL', async (t) => {
  // [MQTT-4.3.3-2] [MQTT-3.3.1-3]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const sender = await gateway.operator();
  const send = (text: string, dup = false) =>
    sender.sendPublish('mesh/x', text, { qos: 2, messageId: 9, dup });
  send('one');
  await sender.next('pubrec');
  send('one', true);
  await sender.next('pubrec');
  // A repetition that comes before the first one is stored.
  const hasty = await gateway.operator('operator-h');
  for (const dup of [false, true, true]) hasty.sendPublish('mesh/x', 'hasty', { qos: 2, messageId: 9, dup });
  for (let answer = 0; answer < 3; answer++) assert.equal((await hasty.next('pubrec')).messageId, 9);
  assert.deepEqual(await takeExactly(reader, 2), ['one', 'hasty']);
  assert.ok(reader.publishes().every((message) => !message.dup));
  for (const client of [sender, hasty]) {
    client.send({ cmd: 'pubrel', messageId: 9 });
    await client.next('pubcomp');
  }
  send('two');
  await sender.next('pubrec');
  assert.deepEqual(await takeExactly(reader, 3), ['one', 'hasty', 'two']);
  // A PUBREL for an unknown packet id is answered too, or its sender would repeat it without limit.
  sender.send({ cmd: 'pubrel', messageId: 1_000 });
  await until('the answer', () => sender.received.some((packet) => packet.messageId === 1_000));
});

it('a repeated QoS 2 PUBLISH is recognised after a reconnect of a persistent session', async (t) => {
  // [MQTT-4.3.3-2] [MQTT-4.4.0-1]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const first = await gateway.operator('operator-p', { clean: false });
  first.sendPublish('mesh/x', 'once', { qos: 2, messageId: 9 });
  await first.next('pubrec');
  first.destroy();
  const again = await gateway.operator('operator-p', { clean: false });
  again.sendPublish('mesh/x', 'once', { qos: 2, messageId: 9, dup: true });
  await again.next('pubrec');
  again.send({ cmd: 'pubrel', messageId: 9 });
  await again.next('pubcomp');
  assert.deepEqual(await takeExactly(reader, 1), ['once']);
  // A clean session knows nothing of it [MQTT-3.1.2-6].
  const clean = await gateway.operator('operator-p');
  clean.sendPublish('mesh/x', 'twice', { qos: 2, messageId: 9 });
  await clean.next('pubrec');
  assert.deepEqual(await takeExactly(reader, 2), ['once', 'twice']);
});

it('a subscriber at QoS 2 gets PUBLISH, PUBREL and nothing twice', async (t) => {
  // [MQTT-4.3.3-1] [MQTT-2.3.1-4]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r', { clean: false });
  await reader.subscribe('mesh/#', 2);
  const sender = await gateway.operator();
  for (let messageId = 1; messageId <= 50; messageId++)
    sender.sendPublish('mesh/x', 'x', { qos: 2, messageId });
  await until('the messages', () => reader.publishes().length === 50);
  const ids = reader.publishes().map(({ messageId }) => messageId!);
  assert.equal(new Set(ids).size, 50, 'packet ids in flight differ');
  assert.ok(ids.every((messageId) => messageId > 0 && messageId < 65_536));
  for (const messageId of ids) {
    reader.send({ cmd: 'pubrec', messageId });
    assert.equal((await reader.next('pubrel')).messageId, messageId);
    reader.send({ cmd: 'pubcomp', messageId });
  }
  reader.destroy();
  const again = await gateway.operator('operator-r', { clean: false });
  await untilHandled(again);
  assert.deepEqual(again.publishes(), []);
});

it('messages of one topic and QoS come in the order in which they were sent', async (t) => {
  // [MQTT-4.6.0-5] [MQTT-4.6.0-6]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#', 2);
  const sender = await gateway.operator();
  const total = 300;
  for (let messageId = 1; messageId <= total; messageId++)
    sender.sendPublish('mesh/x', `${messageId % 3} ${messageId}`, {
      qos: (messageId % 3) as 0 | 1 | 2,
      messageId,
    });
  await until('the messages', () => reader.publishes().length === total);
  for (const qos of ['0', '1', '2']) {
    const numbers = reader
      .texts()
      .filter((text) => text.startsWith(qos))
      .map((text) => Number(text.slice(2)));
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
      `QoS ${qos}`,
    );
    assert.equal(numbers.length, total / 3);
  }
});

it('RETAIN is set for a new subscription and never for an established one', async (t) => {
  // [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8] [MQTT-3.3.1-9]
  const gateway = await startGateway(t);
  const sender = await gateway.operator();
  for (const clean of [true, false]) {
    const name = `mesh/${clean}`;
    const reader = await gateway.operator(`operator-${clean}`, { clean });
    await reader.subscribe(`${name}/#`, 2);
    await sender.publish(`${name}/a`, 'a', { retain: true });
    sender.sendPublish(`${name}/b`, 'b', { qos: 0, retain: true });
    await sender.publish(`${name}/c`, 'c');
    assert.deepEqual((await takeExactly(reader, 3)).sort(), ['a', 'b', 'c']);
    assert.ok(
      reader.publishes().every((message) => !message.retain),
      'established',
    );
    const late = await gateway.operator(`operator-late-${clean}`, { clean });
    await late.subscribe(`${name}/#`, 2);
    assert.deepEqual((await takeExactly(late, 2)).sort(), ['a', 'b']);
    assert.ok(
      late.publishes().every((message) => message.retain),
      'new',
    );
    assert.deepEqual(
      late
        .publishes()
        .map((message) => [message.payload.toString(), message.qos])
        .sort(),
      [
        ['a', 1],
        ['b', 0],
      ],
    );
  }
});

it('a queued message comes without RETAIN to a session that was away', async (t) => {
  // [MQTT-3.3.1-9] [MQTT-3.1.2-5] [MQTT-4.5.0-1]
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-p', { clean: false });
  await reader.subscribe('mesh/#', 2);
  reader.end();
  await reader.untilClosed();
  const sender = await gateway.operator();
  await sender.publish('mesh/x', 'one', { retain: true });
  sender.sendPublish('mesh/x', 'two', { qos: 2, messageId: 3, retain: true });
  await sender.next('pubrec');
  const again = await gateway.operator('operator-p', { clean: false });
  assert.deepEqual(await takeExactly(again, 2), ['one', 'two']);
  assert.deepEqual(
    again.publishes().map(({ retain, qos, dup }) => [retain, qos, dup]),
    [
      [false, 1, false],
      [false, 2, false],
    ],
  );
});

it('only an empty or another retained message replaces a retained message', async (t) => {
  // [MQTT-3.3.1-7] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.3.1-12] [MQTT-3.1.2-7]
  const gateway = await startGateway(t);
  const live = await gateway.operator('operator-live');
  await live.subscribe('mesh/#');
  const sender = await gateway.operator('operator-p', { clean: false });
  let readers = 0;
  const retained = async () => {
    const reader = await gateway.operator(`operator-${++readers}`);
    await reader.subscribe('mesh/#', 2);
    await untilHandled(reader);
    await until('the end of the retained messages', () => true);
    return reader.texts();
  };
  await sender.publish('mesh/x', 'first', { retain: true });
  await sender.publish('mesh/x', 'not retained');
  assert.deepEqual(await retained(), ['first']);
  sender.sendPublish('mesh/x', 'at QoS 0', { qos: 0, retain: true });
  await untilHandled(sender);
  await until('the message', () => live.texts().includes('at QoS 0'));
  assert.deepEqual(await retained(), ['at QoS 0']);
  await sender.publish('mesh/x', '');
  assert.deepEqual(await retained(), ['at QoS 0'], 'an empty message without RETAIN removes nothing');
  // The end of a session does not end what it retained.
  const clean = await gateway.operator('operator-p');
  assert.deepEqual(await retained(), ['at QoS 0']);
  const before = live.publishes().length;
  await clean.publish('mesh/x', '', { retain: true });
  await until('the empty message', () => live.publishes().length > before);
  assert.deepEqual([live.texts().at(-1), live.publishes().at(-1)?.retain], ['', false]);
  assert.deepEqual(await retained(), []);
  await clean.publish('mesh/x', 'second', { retain: true });
  clean.sendPublish('mesh/x', '', { qos: 0, retain: true });
  await untilHandled(clean);
  await until('the removal', async () => (await retained()).length === 0);
});

it('a message that is sent in the segment of a DISCONNECT is still delivered', async (t) => {
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#');
  const sender = await gateway.operator();
  sender.socket.cork();
  sender.sendPublish('mesh/x', 'last words', { qos: 0 });
  sender.end();
  sender.socket.uncork();
  assert.equal((await reader.next('publish')).payload.toString(), 'last words');
});

it('an empty and a large payload arrive unchanged at every QoS', async (t) => {
  const gateway = await startGateway(t);
  const reader = await gateway.operator('operator-r');
  await reader.subscribe('mesh/#', 2);
  const sender = await gateway.operator();
  for (const bytes of [0, 1, 127, 128, 16_383, 16_384, 300_000]) {
    for (const qos of [0, 1, 2] as const) {
      sender.sendPublish('mesh/x', Buffer.alloc(bytes, 7), { qos, messageId: 5 + qos });
      const { payload } = await reader.next('publish');
      assert.deepEqual([payload.length, Buffer.from(payload).equals(Buffer.alloc(bytes, 7))], [bytes, true]);
      if (qos === 2) sender.send({ cmd: 'pubrel', messageId: 7 });
    }
  }
});
