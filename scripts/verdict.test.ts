import assert from 'node:assert/strict';
import { it } from 'node:test';
import { judgeSuite } from './verdict.mjs';

const suite = { name: 'compose', budgetSeconds: 100, lifeSeconds: 200 };
const passedOnce = { passed: 0, failed: 0, signal: null, overdue: false };
const notRun = { ...passedOnce, notRun: 'no container engine runs here' };

it('a suite that did not run fails in CI, with the reason', () => {
  const { failed, green, lines } = judgeSuite(suite, notRun, { inCi: true, seconds: 1 });
  assert.equal(failed, 1);
  assert.equal(green, false);
  assert.deepEqual(lines, ['compose      FAILED: it did not run: no container engine runs here']);
});

it('a suite that did not run elsewhere is not red, but never green', () => {
  const { failed, green, lines } = judgeSuite(suite, notRun, { inCi: false, seconds: 1 });
  assert.equal(failed, 0);
  assert.equal(green, false);
  assert.deepEqual(lines, ['compose      not run: no container engine runs here']);
});

it('a suite that ran is judged by its failures, and in CI told its budget', () => {
  const ran = (outcome: object, inCi = true, seconds = 150) =>
    judgeSuite(suite, { ...passedOnce, ...outcome }, { inCi, seconds });
  assert.deepEqual(ran({ passed: 3 }, false), {
    passed: 3,
    failed: 0,
    green: true,
    lines: ['compose      ok in 150.0 s (3 passed, 0 failed)'],
  });
  assert.match(ran({}).lines[0] ?? '', /ok in 150\.0 s, OVER its budget of 100 s$/);
  const failed = ran({ failed: 1, overdue: true });
  assert.equal(failed.green, false);
  assert.deepEqual(failed.lines, [
    'compose      did not end within 200 s: killed',
    'compose      FAILED in 150.0 s, OVER its budget of 100 s',
  ]);
});

it('a suite that a signal ended has failed even if no test did', () => {
  const { failed, green, lines } = judgeSuite(
    suite,
    { ...passedOnce, signal: 'SIGTERM' },
    { inCi: true, seconds: 1 },
  );
  assert.equal(failed, 1);
  assert.equal(green, false);
  assert.equal(lines.at(-1), 'ended by SIGTERM: the rest was not run');
});
