import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isImplausible, plausibleRoom } from './plausibility.ts';

const implausible = (celsius: number, humidityPercent: number | null = null) =>
  isImplausible({ celsius, humidityPercent }, plausibleRoom);

it('-127, 85 and 998.9 °C are implausible, and so is a humidity of 0 %', () => {
  assert.deepEqual(
    [-127, 85, 998.9].map((celsius) => implausible(celsius)),
    [true, true, true],
  );
  assert.equal(implausible(21, 0), true);
});

it('rooms, and the limits themselves, are plausible', () => {
  for (const celsius of [-40, 0, 21.5, 70]) assert.equal(implausible(celsius), false);
  assert.equal(implausible(21, 1), false);
});
