import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createPacing, isOffline } from './pacing.ts';

const options = fc.record({
  devices: fc.integer({ min: 1, max: 300 }),
  rate: fc.integer({ min: 1, max: 100_000 }),
  burst: fc.integer({ min: 1, max: 20 }),
  seconds: fc.integer({ min: 1, max: 30 }),
  kept: fc.constant(0),
});

describe('the schedule', () => {
  it('the schedule keeps the rate with late and irregular ticks', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 3_000_000 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(options, gaps, (given, list) => {
        const pacing = createPacing(given);
        let us = 0;
        let before = 0;
        for (const gap of list) {
          us += gap;
          const due = pacing.burstsDueBy(us);
          assert.ok(due >= before);
          before = due;
          const ideal = Math.min(given.seconds, us / 1e6) * given.rate;
          assert.ok(
            Math.abs(due * given.burst - ideal) <= given.burst + 1e-6 * ideal,
            `${due * given.burst} against ${ideal}`,
          );
        }
      }),
    );
  });

  it('the schedule ends with rate × seconds readings, rounded up to bursts', () => {
    fc.assert(
      fc.property(options, (given) => {
        const pacing = createPacing(given);
        const readings = pacing.burstsDueBy(given.seconds * 1e6 + 1) * given.burst;
        assert.equal(readings, Math.ceil((given.rate * given.seconds) / given.burst) * given.burst);
      }),
    );
  });

  it('the due time of each reading is known after the device was offline', () => {
    fc.assert(
      fc.property(options, fc.nat(10_000), (given, seed) => {
        const pacing = createPacing(given);
        const burst = seed % pacing.bursts;
        const device = pacing.deviceOf(burst);
        const first = Math.floor(burst / given.devices) * given.burst;
        const dueUs = pacing.dueUs(device, first);
        assert.equal(pacing.dueUs(device, first + given.burst - 1), dueUs);
        assert.ok(pacing.burstsDueBy(Math.ceil(dueUs) + 1) > burst);
        assert.ok(dueUs < 1 || pacing.burstsDueBy(Math.floor(dueUs) - 1) <= burst);
      }),
    );
  });

  it('kept readings are due one per minute before the start', () => {
    const plan = { devices: 7, rate: 1000, burst: 3, seconds: 2 };
    const [fresh, offline] = [createPacing({ ...plan, kept: 0 }), createPacing({ ...plan, kept: 60 })];
    const minutes = [0, 1, 59].map((number) => offline.dueUs(4, number) / 60e6);
    assert.deepEqual(minutes, [-60, -59, -1]);
    for (const number of [0, 1, 5]) assert.equal(offline.dueUs(4, 60 + number), fresh.dueUs(4, number));
    assert.equal(offline.bursts, fresh.bursts);
  });

  it('all devices have the same number of bursts, plus or minus one', () => {
    const pacing = createPacing({ devices: 7, rate: 1000, burst: 3, seconds: 2, kept: 0 });
    const counts = new Array<number>(7).fill(0);
    for (let burst = 0; burst < pacing.bursts; burst++) {
      const device = pacing.deviceOf(burst);
      counts[device] = (counts[device] ?? 0) + 1;
    }
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
  });
});

describe('offline periods', () => {
  it('offline periods take their share of the time and end before the run', () => {
    const plan = { ratio: 0.25, cycleUs: 1000, untilUs: 100_000 };
    for (const phase of [0, 0.1, 0.99]) {
      const offline = Array.from({ length: 120_000 }, (_, us) => isOffline(plan, phase, us));
      assert.equal(offline.slice(0, 100_000).filter(Boolean).length, 25_000);
      assert.ok(!offline.slice(100_000).includes(true));
    }
    assert.equal(isOffline({ ...plan, ratio: 0 }, 0, 5), false);
  });
});
