import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomly, roundRobin, sticky } from './balance.ts';

describe('balancing', () => {
  const instances = ['a', 'b', 'c', 'd'].map((id) => ({ id }));

  it('round robin and random choice never leave the list', () => {
    const next = roundRobin();
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => next(instances)),
      [0, 1, 2, 3, 0],
    );
    assert.equal(next(instances.slice(0, 1)), 0);
    assert.deepEqual(
      [0, 0.5, 0.999, 1].map((chance) => randomly(() => chance)(instances)),
      [0, 2, 3, 3],
    );
  });

  it('a key stays with its instance until that instance leaves', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('a', 'b', 'c', 'd'), (key, gone) => {
        const chosen = instances[sticky(key)(instances)]?.id;
        const rest = instances.filter(({ id }) => id !== gone);
        if (chosen !== gone) assert.equal(rest[sticky(key)(rest)]?.id, chosen);
      }),
    );
  });
});
