import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { groupKey } from './group.ts';
import { groupOverheadBytes, KeptGroups } from './kept-groups.ts';

const group = (firstLogId: number, bytes = 1000, count = 10) => ({
  key: groupKey(firstLogId, count, bytes),
  firstLogId,
  count,
  bytes,
});
const ids = (groups: readonly { firstLogId: number }[]) => groups.map(({ firstLogId }) => firstLogId);
const sizeOf = (groups: number) => groups * (1000 + groupOverheadBytes);

it('kept groups beyond the size limit leave, the oldest first', () => {
  const kept = new KeptGroups({ bytesMax: sizeOf(2), keptMs: 60_000 });
  for (const first of [1, 11, 21]) kept.add(group(first), 0);
  assert.deepEqual(kept.expire(0), [group(1)]);
  assert.deepEqual([kept.oldest, kept.bytes], [group(11), sizeOf(2)]);
  assert.deepEqual([kept.has(1), kept.has(11), kept.has(21)], [false, true, true]);
});

it('kept groups leave when their time is up, however small they are', () => {
  const kept = new KeptGroups({ bytesMax: sizeOf(100), keptMs: 100 });
  kept.add(group(1), 0);
  kept.add(group(11), 50);
  assert.deepEqual(kept.expire(99), []);
  assert.deepEqual(ids(kept.expire(100)), [1]);
  assert.deepEqual(ids(kept.expire(150)), [11]);
  assert.deepEqual([kept.oldest, kept.bytes], [undefined, 0]);
});

it('a limit of 0 bytes keeps nothing', () => {
  const kept = new KeptGroups({ bytesMax: 0, keptMs: 60_000 });
  kept.add(group(1), 0);
  assert.deepEqual(ids(kept.expire(0)), [1]);
});

it('the groups after a log id come with the one that may contain it', () => {
  const kept = new KeptGroups({ bytesMax: sizeOf(100), keptMs: 100 });
  for (const first of [1, 11, 21, 31]) kept.add(group(first), 0);
  assert.deepEqual(ids(kept.takeAfter(24)), [21, 31]);
  assert.deepEqual(ids(kept.takeAfter(0)), [1, 11]);
  assert.deepEqual([ids(kept.takeAfter(0)), kept.bytes], [[], 0]);
});

it('kept groups stay in order and within the limits for any traffic', () => {
  const seed = Date.now() % 2 ** 31;
  const step = fc.record({ bytes: fc.nat({ max: 5000 }), afterMs: fc.nat({ max: 50 }) });
  const property = fc.property(fc.array(step, { maxLength: 3000, size: 'max' }), (steps) => {
    const kept = new KeptGroups({ bytesMax: 20_000, keptMs: 200 });
    let nowMs = 0;
    let first = 1;
    const left: number[] = [];
    for (const { bytes, afterMs } of steps) {
      nowMs += afterMs;
      kept.add(group(first, bytes), nowMs);
      first += 10;
      left.push(...ids(kept.expire(nowMs)));
      assert.ok(kept.bytes <= 20_000);
    }
    left.push(...ids(kept.clear()));
    assert.deepEqual(
      left,
      steps.map((_, index) => 1 + index * 10),
    );
  });
  fc.assert(property, { seed, numRuns: 30 });
});
