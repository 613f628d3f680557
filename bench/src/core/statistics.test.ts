import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { interleave, percentile, rangeOf, ratioRange } from './statistics.ts';

describe('statistics of rounds', () => {
  it('a range has the number of its rounds and their spread', () => {
    assert.deepEqual(rangeOf([3, 1, 2]), { n: 3, min: 1, median: 2, max: 3 });
    assert.deepEqual(rangeOf([4, 1]), { n: 2, min: 1, median: 2.5, max: 4 });
  });

  it('a measurement without rounds is an error, not a zero', () => {
    assert.throws(() => rangeOf([]), RangeError);
    assert.throws(() => percentile([], 99), RangeError);
  });

  it('ratios pair rounds that ran side by side', () => {
    // The machine was half as fast in the second round: the ratio does not move.
    assert.deepEqual(ratioRange([100, 50], [200, 100]), { n: 2, min: 0.5, median: 0.5, max: 0.5 });
    assert.throws(() => ratioRange([1, 2], [1]), /cannot be paired/);
  });

  it('a percentile is a value that occurred', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    assert.equal(percentile(hundred, 99), 99);
    assert.equal(percentile(hundred, 100), 100);
    assert.equal(percentile([7], 99), 7);
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true }), { minLength: 1 }),
        fc.integer({ min: 51, max: 100 }),
        (values, p) => {
          const sorted = values.sort((a, b) => a - b);
          assert.ok(sorted.includes(percentile(sorted, p)));
        },
      ),
    );
  });

  it('no arm always goes first', () => {
    const order = interleave(['a', 'b'], 3).map(({ arm, round }) => `${arm}${round}`);
    assert.deepEqual(order, ['a0', 'b0', 'b1', 'a1', 'a2', 'b2']);
  });
});
