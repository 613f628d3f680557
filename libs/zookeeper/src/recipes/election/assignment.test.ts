import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assign, type Assignment } from './assignment.ts';

const members = (max: number) =>
  fc.uniqueArray(fc.constantFrom(...'abcdefghij'), { minLength: 1, maxLength: max });
const partitionsMax = 24;

/** The number of partitions of each member. */
function counts(assignment: Assignment, who: readonly string[]): number[] {
  return who.map((member) => assignment.filter((owner) => owner === member).length);
}

const moves = (before: Assignment, after: Assignment) =>
  after.filter((owner, partition) => owner !== before[partition]).length;

/**
 * The fewest moves that any balanced assignment needs: the members that have most get the larger
 * shares.
 */
function fewestMoves(before: Assignment, who: readonly string[], partitions: number): number {
  const held = counts(before, who).sort((left, right) => right - left);
  const share = Math.floor(partitions / who.length);
  const larger = partitions % who.length;
  const kept = held.reduce((sum, count, index) => sum + Math.min(count, share + (index < larger ? 1 : 0)), 0);
  return partitions - kept;
}

const anyCase = fc.record({
  before: members(8),
  after: members(8),
  partitions: fc.integer({ min: 0, max: partitionsMax }),
  chaos: fc.array(fc.option(fc.constantFrom(...'abcdefghijk'), { nil: undefined }), {
    maxLength: partitionsMax,
  }),
});

describe('the assignment of partitions', () => {
  it('an assignment is complete, balanced, and moves as little as possible', () => {
    fc.assert(
      fc.property(anyCase, ({ after, partitions, chaos }) => {
        const previous = chaos.slice(0, partitions);
        const result = assign(previous, after, partitions);
        assert.equal(result.length, partitions);
        assert.ok(result.every((owner) => owner !== undefined && after.includes(owner)));
        const each = counts(result, after);
        assert.ok(Math.max(...each) - Math.min(...each) <= 1, each.join());
        assert.equal(moves(previous, result), fewestMoves(previous, after, partitions));
      }),
    );
  });

  it('an assignment does not change without cause, whichever member computes it', () => {
    fc.assert(
      fc.property(anyCase, ({ before, partitions }) => {
        const first = assign([], before, partitions);
        assert.deepEqual(assign(first, before, partitions), first);
        assert.deepEqual(assign([], [...before].reverse(), partitions), first);
      }),
    );
  });

  it('a leaving member moves only what it had; a joining one gets at most its share', () => {
    fc.assert(
      fc.property(anyCase, ({ before, partitions }) => {
        const first = assign([], before, partitions);
        const [gone, ...rest] = before;
        if (rest.length > 0) {
          const without = assign(first, rest, partitions);
          assert.equal(moves(first, without), first.filter((owner) => owner === gone).length);
        }
        const joined = assign(first, [...before, 'z'], partitions);
        assert.ok(moves(first, joined) <= Math.ceil(partitions / (before.length + 1)));
        assert.ok(joined.every((owner, partition) => owner === 'z' || owner === first[partition]));
      }),
    );
  });

  it('without members, no partition has a leader', () => {
    assert.deepEqual(assign(['a', 'a'], [], 2), [undefined, undefined]);
  });
});
