import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Slot, type IncomingRecord, type SlotOptions } from './slot.ts';

const records = (...offsets: number[]): IncomingRecord[] =>
  offsets.map((offset) => ({ partition: 0, offset, key: null, value: null, timestampMs: 0 }));

const turn = async () => new Promise((resolve) => setImmediate(resolve));

function open(options: Partial<SlotOptions> = {}) {
  const handled: number[] = [];
  const done: (() => void)[] = [];
  let rooms = 0;
  const slot = new Slot({
    after: Promise.resolve(),
    fromOffset: 5,
    recordsMax: 4,
    handle: async ({ offset }) => {
      handled.push(offset);
      await new Promise<void>((resolve) => done.push(resolve));
    },
    onRoom: () => (rooms += 1),
    onFailed: () => assert.fail('handle did not throw'),
    ...options,
  });
  const finish = async () => {
    done.shift()?.();
    await turn();
  };
  return { slot, handled, finish, rooms: () => rooms };
}

describe('a partition that is read', () => {
  it('a slot hands over one record after another', async () => {
    const { slot, handled, finish } = open();
    slot.accept(records(5, 6));
    await turn();
    assert.deepEqual(handled, [5]);
    assert.equal(slot.position, 5);
    await finish();
    assert.deepEqual(handled, [5, 6]);
    assert.equal(slot.position, 6);
    assert.equal(slot.nextOffset, 7);
  });

  it('a slot skips the records that a reconnect brings again', async () => {
    const { slot, handled, finish } = open();
    slot.accept(records(5, 6));
    slot.accept(records(3, 4, 5, 6, 7));
    for (let i = 0; i < 4; i++) await finish();
    assert.deepEqual(handled, [5, 6, 7]);
  });

  it('a gap is fetched again, and counts as a loss only when it stays', () => {
    const { slot } = open();
    assert.deepEqual(slot.accept(records(8)), { kind: 'gap' });
    assert.equal(slot.nextOffset, 5);
    assert.deepEqual(slot.accept(records(5, 6, 7, 8)), { kind: 'taken' });
    assert.deepEqual(slot.accept(records(12)), { kind: 'gap' });
    assert.deepEqual(slot.accept(records(12)), { kind: 'gap' });
    assert.deepEqual(slot.accept(records(12)), { kind: 'expired', records: 3 });
    assert.equal(slot.nextOffset, 13);
  });

  it('a slot is full until half of its records are handled', async () => {
    const { slot, finish, rooms } = open();
    slot.accept(records(5, 6, 7, 8));
    assert.equal(slot.isFull, true);
    await turn();
    await finish();
    assert.equal(slot.isFull, true);
    await finish();
    assert.equal(slot.isFull, false);
    assert.equal(rooms(), 1);
  });

  it('a released partition drops waiting records and waits for the one in hand', async () => {
    const { slot, handled, finish } = open();
    slot.accept(records(5, 6));
    await turn();
    let closed = false;
    const closing = slot.close().then(() => (closed = true));
    await turn();
    assert.equal(closed, false);
    await finish();
    await closing;
    slot.accept(records(7));
    assert.deepEqual(handled, [5]);
  });

  it('a partition that is led again waits for the earlier work on it', async () => {
    const before = open();
    before.slot.accept(records(5));
    await turn();
    const { slot, handled } = open({ after: before.slot.close() });
    slot.accept(records(5));
    await turn();
    assert.deepEqual(handled, []);
    await before.finish();
    assert.deepEqual(handled, [5]);
  });

  it('a slot handles nothing after a record whose handling threw', async () => {
    const failed: unknown[] = [];
    const handled: number[] = [];
    const { slot } = open({
      handle: async ({ offset }) => {
        handled.push(offset);
        throw new Error('broken');
      },
      onFailed: (error) => {
        failed.push(error);
        void slot.close();
      },
    });
    slot.accept(records(5, 6));
    await turn();
    slot.accept(records(7));
    await turn();
    assert.deepEqual(handled, [5]);
    assert.equal(failed.length, 1);
    assert.equal(slot.position, 5);
  });
});
