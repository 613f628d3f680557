import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { readCounts, runSuites } from './run-suites.ts';

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
  assert.deepEqual(readCounts(ended, 'by itself'), {
    passed: 1,
    failed: 2,
    failures: ['is not taken from another'],
    reason: 'Expected values to be strictly equal',
  });
});

it('what passed before a suite hung has passed, and the hang is a failure', () => {
  const { passed, failed, failures } = readCounts(begun, 'hung');
  assert.deepEqual([passed, failed], [1, 2]);
  assert.deepEqual(failures, ['is not taken from another', 'hung']);
});

it('a run that was ended because its verdict was clear counts what it had shown', () =>
  assert.deepEqual(readCounts(begun, 'red'), {
    passed: 1,
    failed: 1,
    failures: ['is not taken from another'],
    reason: 'Expected values to be strictly equal',
  }));

it('a run ends as soon as one test has passed and one has failed', async () => {
  await using temporary = await temporaryFolder('mutants');
  const { folder } = temporary;
  const lines = [
    "import { it } from 'node:test';",
    "it('passes', () => {});",
    "it('fails', () => Promise.reject(new Error('as meant')));",
    "it('is not waited for', () => new Promise((resolve) => setTimeout(resolve, 3_600_000)));",
  ];
  await writeFile(path.join(folder, 'a.test.mjs'), lines.join('\n'));
  const { passed, failures } = await runSuites(folder, ['a.test.mjs'], { untilRed: true });
  assert.deepEqual([passed, failures], [1, ['fails']]);
});

it('a runner that ended without totals is an error, not a verdict', () =>
  assert.throws(() => readCounts(begun, 'by itself'), /gave no counts/));
