import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createQos0Queue } from './qos0-queue.ts';

const reading = (deviceId: string, bytes: number) => ({
  deviceId,
  payload: Buffer.alloc(bytes),
  receivedAtMs: 1,
});
const ids = (taken: { deviceId: string }[]) => taken.map(({ deviceId }) => deviceId).join('');

it('the queue keeps its limits of messages and of bytes, and gives space back', () => {
  const queue = createQos0Queue({ messagesMax: 3, bytesMax: 10 });
  assert.deepEqual(
    [queue.push(reading('a', 4)), queue.push(reading('b', 7)), queue.push(reading('c', 6))],
    [true, false, true],
  );
  assert.deepEqual([queue.push(reading('d', 0)), queue.push(reading('e', 0))], [true, false]);
  assert.equal(ids(queue.take(1)), 'a', 'one that is larger than asked for');
  assert.equal(queue.push(reading('f', 4)), true);
  assert.equal(ids(queue.take(6)), 'cd');
  assert.equal(ids(queue.take(100)), 'f');
  assert.deepEqual([queue.take(100), queue.length], [[], 0]);
});
