import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { elapsedUs, parseBusyUs, parseSchedstatUs, perMessage } from './cpu.ts';

describe('CPU time', () => {
  it('a schedstat in nanoseconds is read as microseconds', () => {
    assert.equal(parseSchedstatUs('559695 12 2\n'), 559.695);
    assert.throws(() => parseSchedstatUs(''), RangeError);
  });

  it('a new thread counts in full, and a reused id never counts negative', () => {
    const before = new Map([
      [1, 100],
      [2, 50],
    ]);
    assert.equal(
      elapsedUs(
        before,
        new Map([
          [1, 130],
          [3, 7],
        ]),
      ),
      37,
    );
    // An id that the system gave to another thread.
    assert.equal(elapsedUs(before, new Map([[1, 10]])), 0);
  });

  it('the CPU time per message has its sum, also without messages', () => {
    assert.deepEqual(perMessage({ gateway: 1000, node: 500 }, 100), { gateway: 10, node: 5, total: 15 });
    assert.deepEqual(perMessage({ gateway: 1000 }, 0), { gateway: 0, total: 0 });
  });

  it('idle time does not count as busy time', () => {
    assert.equal(parseBusyUs('cpu  10 1 5 1000 20 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n'), 220_000);
    assert.throws(() => parseBusyUs('nothing'), RangeError);
  });
});
