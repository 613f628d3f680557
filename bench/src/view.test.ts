import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { trafficOf } from './parts/generator.ts';
import { table } from './view.ts';

const reading = { atMs: 0, sent: 0, acked: 0, owed: 0, ackMs: { p50: null, p99: null, max: null }, busy: 0 };

describe('the report of a run', () => {
  it('a column is as wide as its longest cell', () => {
    assert.equal(
      table(
        ['a', 'b'],
        [
          ['long', '1'],
          ['x', '22'],
        ],
      ),
      'a     b\n────  ──\nlong  1\nx     22',
    );
  });

  it('a generator that did not keep its rate is reported', () => {
    const after = { ...reading, atMs: 2000, sent: 1900, acked: 1800, busy: 0.5 };
    const kept = trafficOf(reading, { ...after, owed: 10 }, true);
    assert.deepEqual(
      [kept.sentPerSecond, kept.ackedPerSecond, kept.rateKept, kept.generatorLimited],
      [950, 900, true, false],
    );
    assert.equal(trafficOf(reading, { ...after, owed: 100 }, true).rateKept, false);
    // A closed loop has no rate to keep.
    assert.equal(trafficOf(reading, { ...after, owed: 100 }, false).rateKept, true);
    assert.equal(trafficOf(reading, { ...after, busy: 0.97 }, true).generatorLimited, true);
  });
});
