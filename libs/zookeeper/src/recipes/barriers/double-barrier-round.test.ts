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
  it('a round begins with the parties that came first, once there are enough', () => {
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

  it('a round ends when each party is done or gone, and names those that are gone', () => {
    const next = { ...running, round: 5, phase: 'gathering', lost: ['C'] };
    assert.deepEqual(outlook(running, [party('a', true), party('b', true)], 'a'), { type: 'turn', next });
    assert.deepEqual(outlook(running, [party('a', true), party('b'), party('late')], 'a'), {
      type: 'wait',
      for: 'b',
    });
  });

  it('each party watches the one behind itself, so that no party is watched by all', () => {
    const all = ['a', 'b', 'c'].map((name) => party(name));
    const watched = ['a', 'b', 'c'].map((me) => {
      const next = outlook(running, all, me);
      return next.type === 'wait' ? next.for : undefined;
    });
    assert.deepEqual(watched, ['b', 'c', 'a']);
  });

  it('a round does not begin while a party of the previous round is present', () => {
    const present = [party('b', true), party('d'), party('e'), party('f')];
    assert.deepEqual(outlook(ended, present, 'd'), { type: 'wait', for: 'b' });
    assert.equal(outlook(ended, present.slice(1), 'd').type, 'turn');
  });

  it('a party knows whether it is outside, inside, or after the end of its round', () => {
    assert.deepEqual(
      [placeOf(running, 'd'), placeOf(running, 'a'), placeOf(ended, 'a')],
      ['outside', 'inside', 'ended'],
    );
  });
});
