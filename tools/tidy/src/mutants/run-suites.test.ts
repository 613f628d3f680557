import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readCounts } from './run-suites.ts';

const begun = `TAP version 13
# Subtest: a lease
    # Subtest: is granted once
    ok 1 - is granted once
      ---
      duration_ms: 3
      ...
    # Subtest: is not taken from another
    not ok 2 - is not taken from another
      ---
      error: |-
        Expected values to be strictly equal
      code: 'ERR_ASSERTION'
      ...
`;

it('the counts of a suite that ended are the totals of the runner', () => {
  const ended = `${begun}# tests 3\n# pass 1\n# fail 1\n# cancelled 1\n`;
  assert.deepEqual(readCounts(ended, false), {
    passed: 1,
    failed: 2,
    failures: ['is not taken from another'],
    reason: 'Expected values to be strictly equal',
  });
});

it('what passed before a suite hung has passed, and the hang is a failure', () => {
  const { passed, failed, failures } = readCounts(begun, true);
  assert.deepEqual([passed, failed], [1, 2]);
  assert.deepEqual(failures, ['is not taken from another', 'hung']);
});

it('a runner that ended without totals is an error, not a verdict', () =>
  assert.throws(() => readCounts(begun, false), /gave no counts/));
