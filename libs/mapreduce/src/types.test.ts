import assert from 'node:assert/strict';
import { it } from 'node:test';
import { initialState, mayAccept } from './jobs.ts';
import { step } from './step.ts';
import { defaultMapReduceLimits, mapReduceLimitIssues } from './types.ts';

it('contradictory limits of a coordinator are all reported', () => {
  assert.deepEqual(mapReduceLimitIssues(defaultMapReduceLimits), []);
  const issues = mapReduceLimitIssues({
    ...defaultMapReduceLimits,
    taskPartitions: 0,
    stragglerTimeoutMaxMs: 1,
    attemptsPerChunkMax: 1,
    openJobsMax: 1,
  });
  assert.equal(issues.length, 4);
});

it('a full queue accepts no job until one is over', () => {
  let state = initialState(1, { ...defaultMapReduceLimits, openJobsMax: 1, runningJobsMax: 1 });
  assert.ok(mayAccept(state));
  const job = { id: 'a', number: 0, caller: 'ann', input: 'a/upload', parameters: {} };
  [state] = step(state, { type: 'submitted', ...job });
  assert.ok(!mayAccept(state));
  [state] = step(state, { type: 'cancelled', jobId: 'a' });
  assert.ok(mayAccept(state));
});
