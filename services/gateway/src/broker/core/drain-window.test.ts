import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { createDrainWindow } from './drain-window.ts';
import { buildGroup, logIdAt } from './group.ts';
import { packetIdOf, packetIdsMax } from './mqtt-bytes.ts';

const groupOf = (...logIds: number[]) =>
  buildGroup(
    logIds.map((logId) => ({
      logId,
      receivedAtMs: 0,
      topic: 'thermostat/data/d',
      payload: Buffer.alloc(10),
    })),
    { log: Buffer.alloc(16), previousLogId: 0 },
  );

it('the window bounds messages and bytes but always admits one message', () => {
  const group = groupOf(1, 2, 3, 4);
  assert.equal(createDrainWindow({ messagesMax: 3, bytesMax: 1e6 }).room(group, 0), 3);
  assert.equal(createDrainWindow({ messagesMax: 9, bytesMax: 1 }).room(group, 0), 1);
  const window = createDrainWindow({ messagesMax: 9, bytesMax: 1 });
  window.sent(group, 0, 1);
  assert.equal(window.room(group, 1), 0);
  assert.ok(window.acknowledge(packetIdOf(1)));
  assert.equal(window.room(group, 1), 1);
});

it('two messages in flight never share a packet id', () => {
  const window = createDrainWindow({ messagesMax: 100, bytesMax: 1e6 });
  const group = groupOf(10, 10 + packetIdsMax - 1, 10 + packetIdsMax);
  assert.equal(window.room(group, 0), 2);
  window.sent(group, 0, 2);
  assert.equal(window.room(group, 2), 0);
  assert.ok(window.acknowledge(packetIdOf(10)));
  assert.equal(window.room(group, 2), 1);
});

it('the window takes PUBACKs only in send order and reports finished groups', () => {
  const window = createDrainWindow({ messagesMax: 100, bytesMax: 1e6 });
  const one = groupOf(1, 2);
  const two = groupOf(3, 4);
  window.sent(one, 0, 2);
  window.sent(two, 0, 1);
  assert.equal(window.acknowledge(packetIdOf(2)), false);
  assert.equal(window.settle(), undefined);
  for (const logId of [1, 2, 3]) assert.ok(window.acknowledge(packetIdOf(logId)));
  assert.equal(window.acknowledge(packetIdOf(4)), false, 'the message was not sent yet');
  const settled = window.settle();
  assert.deepEqual(
    [settled?.logId, settled?.count, settled?.finished.map(({ firstLogId }) => firstLogId)],
    [3, 3, [1]],
  );
  window.sent(two, 1, 2);
  assert.ok(window.acknowledge(packetIdOf(4)));
  assert.deepEqual(window.settle()?.finished, [two]);
});

it('in flight is always sent minus acknowledged, and each group finishes once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 200 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 30 })),
      (sizes, acks) => {
        const window = createDrainWindow({ messagesMax: 25, bytesMax: 1e9 });
        let next = 1;
        const groups = sizes.map((size) => groupOf(...Array.from({ length: size }, () => next++)));
        const waiting: number[] = [];
        const finished: number[] = [];
        for (const group of groups) {
          for (let index = 0; index < group.count;) {
            const room = window.room(group, index);
            if (room > 0) window.sent(group, index, index + room);
            for (let sent = index; sent < index + room; sent++) waiting.push(logIdAt(group, sent));
            index += room;
            const count = Math.max(room === 0 ? 1 : 0, acks.next().value as number);
            for (const logId of waiting.splice(0, count)) assert.ok(window.acknowledge(packetIdOf(logId)));
            finished.push(...(window.settle()?.finished ?? []).map(({ firstLogId }) => firstLogId));
            assert.equal(window.inFlight, waiting.length);
          }
        }
        for (const logId of waiting) assert.ok(window.acknowledge(packetIdOf(logId)));
        finished.push(...(window.settle()?.finished ?? []).map(({ firstLogId }) => firstLogId));
        assert.deepEqual(
          finished,
          groups.map(({ firstLogId }) => firstLogId),
        );
      },
    ),
    { numRuns: 50 },
  );
});
