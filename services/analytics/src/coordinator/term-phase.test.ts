import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createTermPhase } from './term-phase.ts';

const seen = ({ current, ending, aborted }: ReturnType<typeof createTermPhase>) => [
  current.phase,
  ending.aborted,
  aborted.aborted,
];

it('a release ends the draining only, an abort after it ends the release too', () => {
  const term = createTermPhase(new Error('over'));
  assert.deepEqual(seen(term), ['draining', false, false]);
  term.release();
  assert.deepEqual(seen(term), ['releasing', true, false]);
  term.abort();
  assert.deepEqual(seen(term), ['aborted', true, true]);
});

it('an aborted term is never released', () => {
  const term = createTermPhase(new Error('over'));
  term.abort();
  term.release();
  assert.deepEqual(seen(term), ['aborted', true, true]);
});
