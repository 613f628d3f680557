import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Check } from 'typebox/value';
import { blocks, describeCondition, LinkConditions, passing } from './condition.ts';

describe('the condition of a link', () => {
  it('only a stall holds back bytes, and only in its direction', () => {
    assert.ok(!blocks(passing, 'forward') && !blocks({ ...passing, state: 'cut' }, 'forward'));
    assert.ok(blocks({ ...passing, state: 'stall' }, 'backward'));
    const oneWay = { ...passing, state: 'stall', direction: 'forward' } as const;
    assert.ok(blocks(oneWay, 'forward') && !blocks(oneWay, 'backward'));
  });

  it('the condition of a link is described in words', () => {
    assert.equal(describeCondition(passing), 'passes');
    assert.equal(
      describeCondition({ ...passing, delayMs: 5, bytesPerSecond: 100 }),
      '5 ms late, 100 bytes/s',
    );
    assert.equal(
      describeCondition({ ...passing, state: 'stall', direction: 'forward' }),
      'drops in silence, forward only',
    );
  });

  it('an invalid condition is refused', () => {
    assert.ok(Check(LinkConditions, { 'a:b': passing }));
    for (const wrong of [
      { state: 'gone' },
      { delayMs: -1 },
      { bytesPerSecond: 0 },
      { direction: 'up' },
      { extra: 1 },
    ])
      assert.ok(!Check(LinkConditions, { 'a:b': { ...passing, ...wrong } }), JSON.stringify(wrong));
  });
});
