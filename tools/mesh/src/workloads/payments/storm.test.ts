import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seeded } from '../../seeded.ts';
import { createGate } from './gate.ts';
import { faultsOf, stormFaults } from './storm.ts';

describe('the storm', () => {
  it('one round kills and freezes every target once, in the order of the seed', () => {
    const targets = ['gateway', 'billing-1', 'redis'];
    const faults = faultsOf(targets, seeded(7));
    assert.deepEqual(
      faults.map(({ target, signal }) => `${signal} ${target}`).toSorted(),
      targets.flatMap((target) => [`KILL ${target}`, `STOP ${target}`]).toSorted(),
    );
    assert.deepEqual(faults, faultsOf(targets, seeded(7)));
    assert.notDeepEqual(faults, faultsOf(targets, seeded(8)));
  });

  it('the storm leaves most calls of the processor alone', () => {
    const rates = Object.values(stormFaults.rates).reduce((total, rate) => total + rate, 0);
    assert.ok(rates > 0.1 && rates < 0.5);
  });
});

describe('the gate of the orders', () => {
  it('the gate lets orders through up to its limit, and turns away the rest on close', async () => {
    const gate = createGate();
    const passed: string[] = [];
    const waiting = [0, 1, 2].map(async (index) => passed.push(`${index} ${await gate.pass(index)}`));
    gate.release(2);
    await Promise.all(waiting.slice(0, 2));
    assert.deepEqual(passed, ['0 true', '1 true']);
    gate.close();
    await Promise.all(waiting);
    assert.deepEqual(passed, ['0 true', '1 true', '2 false']);
    assert.equal(await gate.pass(0), false);
  });
});
