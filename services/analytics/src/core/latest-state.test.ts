import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { candidatesOf, latestStateOf } from './latest-state.ts';

const log = (...seqs: number[]) => seqs.map((seq) => ({ incarnation: 0, seq }));
const after = (...seqs: number[]) => latestStateOf(log(...seqs), 1000)?.seq;

describe('the latest state of a device', () => {
  it('`seq` 9007199254740991 once does not freeze the latest state', () => {
    assert.deepEqual(
      [
        [1, 2, 9_007_199_254_740_991],
        [9_007_199_254_740_991, 3],
        [9_007_199_254_740_991, 3, 4, 5],
      ].map((seqs) => after(...seqs)),
      [9_007_199_254_740_991, 3, 5],
    );
  });

  it('a late reading changes nothing, and a device whose seq strides is followed', () => {
    assert.equal(after(9, 3), 9);
    assert.equal(after(1_700_000_000_000, 1_700_000_060_000, 1_700_000_120_000), 1_700_000_120_000);
  });

  it('a late reading whose seq is a time changes nothing, a clock far ahead is passed', () => {
    const noon = 1_700_000_000_000;
    const minute = 60_000;
    assert.equal(after(noon, noon - 30 * minute), noon, 'buffered on the way');
    assert.equal(after(noon, noon - 5 * minute, noon - 4 * minute), noon, 'a clock that went back');
    const year2099 = Date.UTC(2099, 0);
    assert.equal(after(noon, year2099, noon + minute), noon + minute);
    assert.equal(after(7, noon, 8), 8, 'a device that mixes both: the kind that came last');
    assert.equal(after(7, noon, 8, noon + minute), noon + minute);
  });

  it('a higher incarnation begins a new life, and a lower one never returns', () => {
    const lives = [
      { incarnation: 0, seq: 500 },
      { incarnation: 2, seq: 1 },
      { incarnation: 1, seq: 900 },
    ];
    assert.deepEqual(latestStateOf(lives, 1000), { incarnation: 2, seq: 1 });
    assert.equal(latestStateOf([], 1000), undefined);
  });

  it('a candidate of a first batch is what the rule says of it', () => {
    const position = fc.record({
      deviceId: fc.constantFrom('a', 'b', 'c'),
      incarnation: fc.constantFrom(0, 0, 0, 1),
      seq: fc.oneof(
        fc.nat(20),
        fc.nat(40).map((n) => n * 100),
      ),
    });
    fc.assert(
      fc.property(fc.array(position, { maxLength: 20 }), fc.nat(500), (readings, seqLeapMax) => {
        const { latest, devices } = candidatesOf(readings, seqLeapMax);
        assert.equal(devices, new Set(readings.map(({ deviceId }) => deviceId)).size);
        readings.forEach((reading, index) => {
          if (latest[index] !== true) return;
          const own = readings.filter(({ deviceId }) => deviceId === reading.deviceId);
          // Without duplicates, as the database makes sure before it believes a candidate.
          if (new Set(own.map(({ seq }) => seq)).size === own.length)
            assert.equal(latestStateOf(own, seqLeapMax)?.seq, reading.seq);
        });
      }),
    );
  });
});
