import assert from 'node:assert/strict';
import { it } from 'node:test';
import { DueDevices, sendableMs } from './due-devices.ts';

const limits = { retryMinMs: 100, retryMaxMs: 350 };
const ids = (taken: ReadonlyMap<string, number>) => [...taken.keys()];

it('a device is due at once, then after pauses that grow to their bound', () => {
  const due = new DueDevices(limits);
  due.wake('a', 0);
  let now = 0;
  const pauses: number[] = [];
  for (let round = 0; round < 4; round++) {
    const [[deviceId, tries]] = [...due.take(now, 10)] as [[string, number]];
    due.sent(deviceId, tries, now);
    const next = due.nextDueMs() ?? Number.NaN;
    assert.deepEqual(ids(due.take(next - 1, 10)), []);
    pauses.push(next - now);
    now = next;
  }
  assert.deepEqual(pauses, [100, 200, 350, 350]);
});

it('a command that comes during a delivery makes its device due again', () => {
  const due = new DueDevices(limits);
  due.wake('a', 0);
  const taken = due.take(0, 10);
  due.wake('a', 1);
  due.sent('a', taken.get('a') ?? 0, 2);
  assert.deepEqual(ids(due.take(2, 10)), ['a']);
});

it('devices that a failed query has taken are due later, all of them', () => {
  const due = new DueDevices(limits);
  for (const id of ['a', 'b', 'c']) due.wake(id, 0);
  const taken = due.take(0, 2);
  assert.equal(taken.size, 2);
  due.failed(taken, 50);
  assert.deepEqual(ids(due.take(49, 10)), ['c']);
  assert.deepEqual(ids(due.take(50, 10)).sort(), ['a', 'b']);
});

it('a slow query uses up the time that a command has left', () => {
  assert.ok(sendableMs(1_000, 10, 200) > 0);
  assert.ok(sendableMs(1_000, 800, 200) <= 0);
  assert.ok(sendableMs(100, 0, 200) <= 0);
});
