import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { arms, countArm, fatesOf, keepsPromises, type ArmCounts } from './arms.ts';

describe('call semantics, counted', () => {
  it('the lossy link treats tries by the seed, and loses about the requested share', () => {
    assert.deepEqual(fatesOf(7, 3, 0.3), fatesOf(7, 3, 0.3));
    assert.notDeepEqual(fatesOf(7, 3, 0.3), fatesOf(7, 4, 0.3));
    const all = Array.from({ length: 200 }, (_, call) => fatesOf(7, call, 0.3)).flat();
    for (const fate of ['refused', 'request', 'reply'] as const) {
      const share = all.filter((each) => each === fate).length / all.length;
      assert.ok(Math.abs(share - 0.1) < 0.02, `${fate}: ${share}`);
    }
    assert.ok(fatesOf(7, 0, 0).every((fate) => fate === 'none'));
  });

  it('charges are counted by call: a lost call has none, a doubled call several', () => {
    const charges: Record<string, number> = { a: 1, b: 1, c: 2 };
    const call = (answered: boolean, ...transactionIds: string[]) => ({ answered, transactionIds });
    assert.deepEqual(
      countArm(
        'x',
        [call(true, 'a', 'b'), call(false, 'c'), call(false, 'd'), call(false)],
        (id) => charges[id] ?? 0,
      ),
      { name: 'x', calls: 4, answered: 1, charged: 4, lost: 2, doubled: 2 },
    );
  });

  it('a double charge with a UUID and a lost at-least-once call break promises', () => {
    const counts = (changes: Record<string, Partial<ArmCounts>>): ArmCounts[] =>
      arms.map(({ name }) => ({
        name,
        calls: 9,
        answered: 9,
        charged: 9,
        lost: 0,
        doubled: 0,
        ...changes[name],
      }));
    assert.ok(keepsPromises(counts({})));
    assert.ok(
      keepsPromises(
        counts({
          maybe: { answered: 5, lost: 3 },
          'at-most-once': { answered: 6, lost: 2 },
          'at-least-once, no UUID': { charged: 12, doubled: 3 },
        }),
      ),
    );
    for (const broken of [
      { maybe: { doubled: 1 } },
      { 'at-most-once': { doubled: 1 } },
      { 'at-least-once, UUID': { doubled: 1 } },
      { 'at-least-once, UUID': { lost: 1 } },
      { 'at-least-once, UUID': { answered: 8 } },
      { 'at-least-once, no UUID': { lost: 1 } },
    ]) {
      assert.equal(keepsPromises(counts(broken)), false, JSON.stringify(broken));
    }
    assert.equal(keepsPromises(counts({}).slice(1)), false);
  });
});
