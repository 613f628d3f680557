import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drainLimitBounds, drainLimitNames } from '@thermomesh/contracts';
import fc from 'fast-check';
import { checkDrainLimits, drainLimitIssues, mergeDrainLimits } from './rules.ts';

const initial = { batchRowsMax: 2_000, batchBytesMax: 1_048_576, batchLingerMs: 8 };
const frame = { queueBytesMax: 4_000_000 };
const check = (document: unknown) => checkDrainLimits(document, initial, frame);

describe('a document of drain limits', () => {
  it('limits that the document does not name stay static', () => {
    assert.deepEqual(mergeDrainLimits(initial, check({})), initial);
    const document = check({ batchRowsMax: 1, batchLingerMs: 0 });
    assert.deepEqual(mergeDrainLimits(initial, document), { ...initial, batchRowsMax: 1, batchLingerMs: 0 });
  });

  it('each bound of the settings is a bound of the document', () => {
    for (const name of drainLimitNames) {
      const { minimum, maximum } = drainLimitBounds[name];
      assert.deepEqual(check({ [name]: minimum }), { [name]: minimum });
      for (const value of [minimum - 1, maximum + 1, minimum + 0.5, String(minimum), null])
        assert.throws(() => check({ [name]: value }), RangeError, `${name}: ${value}`);
    }
  });

  it('a misspelt name is refused instead of falling back to the static value', () => {
    assert.throws(() => check({ batchRowMax: 5 }), RangeError);
    for (const nothing of [undefined, null, [], 'batchRowsMax=5', 7])
      assert.throws(() => check(nothing), RangeError);
  });

  it('a batch limit within its bounds is refused if the queue cannot hold it', () => {
    assert.throws(
      () => check({ batchBytesMax: frame.queueBytesMax + 1 }),
      /must not be above DRAIN_QUEUE_BYTES_MAX/,
    );
    // The check applies to static values too.
    const large = { ...initial, batchBytesMax: frame.queueBytesMax + 1 };
    assert.throws(() => checkDrainLimits({ batchRowsMax: 5 }, large, frame), RangeError);
    assert.deepEqual(drainLimitIssues(initial, frame), []);
  });

  it('the drain can work with every document that is accepted', () => {
    const seed = Date.now() % 2 ** 31;
    const limit = fc.option(fc.oneof(fc.integer(), fc.double(), fc.string()), { nil: undefined });
    const documents = fc.dictionary(fc.constantFrom(...drainLimitNames, 'other'), limit);
    const property = fc.property(documents, (document) => {
      try {
        const merged = mergeDrainLimits(initial, check(document));
        for (const name of drainLimitNames) {
          const { minimum, maximum } = drainLimitBounds[name];
          assert.ok(Number.isInteger(merged[name]) && merged[name] >= minimum && merged[name] <= maximum);
        }
        assert.ok(merged.batchBytesMax <= frame.queueBytesMax);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    });
    fc.assert(property, { seed, numRuns: 500 });
  });
});
