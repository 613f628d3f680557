import assert from 'node:assert/strict';
import { it } from 'node:test';
import { attemptPauseMs } from './attempt-pause.ts';

it('pauses grow, are never 0, and stay bounded however often billing fails', () => {
  const limits = { minMs: 100, maxMs: 2_000 };
  const longest = [1, 2, 3, 6, 7, 100, 1_000_000].map((attempt) =>
    attemptPauseMs(attempt, limits, 0.999_999),
  );
  assert.deepEqual(longest, [99, 199, 399, 1_999, 1_999, 1_999, 1_999]);
  for (const attempt of [1, 50, 1_000_000]) assert.equal(attemptPauseMs(attempt, limits, 0), 1);
});
