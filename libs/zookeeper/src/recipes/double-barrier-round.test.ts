import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstRound, outlook, placeOf, type Attendance, type Round } from './double-barrier-round.ts';

const party = (name: string, left = false): Attendance => ({ name, id: name.toUpperCase(), left });
const member = (name: string) => ({ name, id: name.toUpperCase() });
const running: Round = {
  round: 4,
  phase: 'running',
  parties: 3,
  members: ['a', 'b', 'c'].map(member),
  lost: [],
};
const ended: Round = { ...running, round: 5, phase: 'gathering', lost: ['C'] };

describe('the rounds of a double barrier', () => {
  it('begin with those who came first, when enough are there', () => {
    const first = firstRound(2);
    assert.deepEqual(outlook(first, [party('a')], 'a'), { type: 'wait', for: undefined });
    assert.deepEqual(
      outlook(
        first,
        ['a', 'b', 'late'].map((name) => party(name)),
        'late',
      ),
      {
        type: 'turn',
        next: { ...first, phase: 'running', members: [member('a'), member('b')] },
      },
    );
  });

  it('end when each is done or gone, and say who is gone', () => {
    const next = { ...running, round: 5, phase: 'gathering', lost: ['C'] };
    assert.deepEqual(outlook(running, [party('a', true), party('b', true)], 'a'), { type: 'turn', next });
    assert.deepEqual(outlook(running, [party('a', true), party('b'), party('late')], 'a'), {
      type: 'wait',
      for: 'b',
    });
  });

  it('each waits for the one behind itself: nobody is watched by all', () => {
    const all = ['a', 'b', 'c'].map((name) => party(name));
    const watched = ['a', 'b', 'c'].map((me) => {
      const next = outlook(running, all, me);
      return next.type === 'wait' ? next.for : undefined;
    });
    assert.deepEqual(watched, ['b', 'c', 'a']);
  });

  it('do not begin while somebody of the one before is there, however many have come', () => {
    const present = [party('b', true), party('d'), party('e'), party('f')];
    assert.deepEqual(outlook(ended, present, 'd'), { type: 'wait', for: 'b' });
    assert.equal(outlook(ended, present.slice(1), 'd').type, 'turn');
  });

  it('are seen from outside, inside, and after the end', () => {
    assert.deepEqual(
      [placeOf(running, 'd'), placeOf(running, 'a'), placeOf(ended, 'a')],
      ['outside', 'inside', 'ended'],
    );
  });
});
