import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nextPauseMs, restartPauseMaxMs, stableAfterMs } from './backoff.ts';

it('a process that dies young restarts ever later, up to a limit', () => {
  const pauses: number[] = [];
  for (let round = 0; round < 10; round += 1) pauses.push(nextPauseMs(pauses.at(-1), 0));
  assert.deepEqual(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
});

it('a process that was up long enough restarts at once', () => {
  assert.equal(nextPauseMs(restartPauseMaxMs, stableAfterMs), 50);
  assert.equal(nextPauseMs(400, stableAfterMs - 1), 800);
});
