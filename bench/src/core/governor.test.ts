import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createGovernor } from './governor.ts';

/**
 * A chain that drains at most `capacity` a second; returns what was offered last, and the largest
 * backlog after the start.
 */
function simulate(initial: number, capacity: number, seconds: number): { rate: number; backlog: number } {
  const governor = createGovernor(initial, { backlogSeconds: 0.25, rateMin: 100, rateMax: 1e6 });
  const stepSeconds = 0.1;
  let rate = initial;
  let backlog = 0;
  let drained = 0;
  for (let nowMs = 0; nowMs < seconds * 1000; nowMs += stepSeconds * 1000) {
    backlog += rate * stepSeconds;
    const out = Math.min(backlog, capacity * stepSeconds);
    backlog -= out;
    drained += out;
    rate = governor.next(drained, backlog, nowMs);
  }
  return { rate, backlog };
}

describe('governor', () => {
  it('the rate settles at the capacity, with less than a second of backlog', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1000, max: 200_000 }),
        fc.double({ min: 0.3, max: 2, noNaN: true }),
        (capacity, start) => {
          const { rate, backlog } = simulate(capacity * start, capacity, 10);
          assert.ok(Math.abs(rate / capacity - 1) < 0.1, `${rate} of ${capacity}`);
          assert.ok(backlog < capacity, `${backlog} of ${capacity}`);
        },
      ),
    );
  });

  it('the rate stays within its limits while the chain drains nothing', () => {
    const governor = createGovernor(50_000, { backlogSeconds: 0.25, rateMin: 500, rateMax: 60_000 });
    let rate = 0;
    for (let step = 0; step < 100; step++) rate = governor.next(0, 1e6, step * 100);
    assert.equal(rate, 500);
  });
});
