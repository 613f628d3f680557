import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readDrainMessage } from '@thermomesh/contracts';
import fc from 'fast-check';
import {
  buildGroup,
  indexAfter,
  logIdAt,
  messageAt,
  packets,
  packetsAgain,
  readGroup,
  readGroupKey,
} from './group.ts';
import { packetIdOf, readLength } from './mqtt-bytes.ts';

const frame = { log: Buffer.alloc(16, 5), previousLogId: 17 };
const messages = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 100_000 }),
      topic: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
      payload: fc.uint8Array({ maxLength: 400 }),
      receivedAtMs: fc.integer({ min: 0, max: 4e12 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((list) => {
    let logId = 2 ** 33;
    return list.map(({ gap, ...rest }) => ({
      ...rest,
      topic: rest.topic.replaceAll('\0', ''),
      logId: (logId += gap),
    }));
  });

it('a group reads back message for message, with and without the drain header', () => {
  fc.assert(
    fc.property(messages, fc.boolean(), (list, framed) => {
      const built = buildGroup(list, framed ? frame : undefined);
      const group = readGroup(built.key, built.value);
      assert.deepEqual(group, built);
      list.forEach((message, index) => {
        assert.equal(logIdAt(group, index), message.logId);
        const { topic, payload } = messageAt(group, index, framed);
        assert.equal(topic, message.topic);
        assert.ok(payload.equals(message.payload));
      });
      assert.deepEqual(readGroupKey(built.key).count, list.length);
    }),
  );
});

it('the packets of a group are QoS 1 PUBLISHes, with DUP when they are sent again', () => {
  const group = buildGroup(
    [1, 2, 3].map((logId) => ({ logId, receivedAtMs: 9, topic: 't/ü', payload: Buffer.alloc(200, logId) })),
    frame,
  );
  for (const [bytes, first] of [
    [packets(group, 1, 3), 0x32],
    [packetsAgain(group, 1, 3), 0x3a],
  ] as const) {
    let at = 0;
    for (const logId of [2, 3]) {
      assert.equal(bytes[at], first);
      const length = readLength(bytes, at + 1);
      assert.ok(length);
      const topicBytes = bytes.readUInt16BE(length.next);
      assert.equal(bytes.readUInt16BE(length.next + 2 + topicBytes), packetIdOf(logId));
      const end = length.next + length.value;
      const message = readDrainMessage(bytes.subarray(length.next + 4 + topicBytes, end));
      assert.deepEqual([message.logId, message.receivedAtMs, message.payload[0]], [logId, 9, logId]);
      assert.equal(message.previousLogId, logId - 1, 'a gap would be visible');
      at = end;
    }
    assert.equal(at, bytes.length);
  }
  assert.equal(packets(group, 0, 1)[0], 0x32, 'the original does not change');
});

it('the first message after a log id is found', () => {
  const group = buildGroup(
    [5, 7, 9].map((logId) => ({ logId, receivedAtMs: 0, topic: 't', payload: Buffer.alloc(0) })),
    frame,
  );
  assert.deepEqual(
    [0, 4, 5, 6, 7, 8, 9, 10].map((logId) => indexAfter(group, logId)),
    [0, 0, 1, 1, 2, 2, 3, 3],
  );
});

it('a value that does not fit its key is refused', () => {
  const { key, value } = buildGroup(
    [{ logId: 1, receivedAtMs: 0, topic: 't', payload: Buffer.alloc(9) }],
    frame,
  );
  assert.throws(() => readGroup(key, value.subarray(1)), RangeError);
  assert.throws(() => readGroup(key, Buffer.concat([Buffer.from([2]), value.subarray(1)])), RangeError);
});
