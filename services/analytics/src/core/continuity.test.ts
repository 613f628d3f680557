import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { describeGap, describeOtherDatabase, judgeContinuity } from './continuity.ts';

const database = 'aaaaaaaa-4455-4677-8899-aabbccddeeff';
const other = 'bbbbbbbb-4455-4677-8899-aabbccddeeff';
const log = '00112233-4455-6677-8899-aabbccddeeff';
/** A gateway that has accepted 100 messages, of which it has 10 buffered and the last 30 kept. */
const state = { log, accepted: 100, buffered: 10, drainedLogId: 90, keptAfterLogId: 60 };

describe('the place at which a drain continues', () => {
  it('a database that has what was acknowledged, or more, continues', () => {
    assert.deepEqual(judgeContinuity(state, { highWaterMark: 90, counted: 90, database }), {
      kind: 'continues',
      isNew: false,
    });
    assert.deepEqual(judgeContinuity(state, { highWaterMark: 97, counted: 97, database }), {
      kind: 'continues',
      isNew: false,
    });
  });

  it('a database that lags by what is kept gets exactly that again', () => {
    assert.deepEqual(judgeContinuity(state, { highWaterMark: 75, counted: 75, database }), {
      kind: 'behind',
      afterLogId: 75,
      messages: 15,
    });
  });

  it('of a larger lag the kept messages come first, then the gap is named exactly', () => {
    const position = { highWaterMark: 40, counted: 40, database };
    assert.deepEqual(judgeContinuity(state, position), { kind: 'behind', afterLogId: 60, messages: 50 });
    // The gateway has put the kept messages back into its buffer.
    const again = { ...state, buffered: 40, drainedLogId: 60 };
    const gap = { log, fromLogId: 41, toLogId: 60, messages: 20 };
    assert.deepEqual(judgeContinuity(again, position), { kind: 'gap', gap, keptIn: undefined });
    assert.match(describeGap(gap), /20 acknowledged messages \(log ids 41 to 60/);
  });

  it('a wiped database under a running gateway is a gap from the first message', () => {
    const nothingKept = { ...state, keptAfterLogId: 90 };
    assert.deepEqual(judgeContinuity(nothingKept, { highWaterMark: 0, counted: 0, database }), {
      kind: 'gap',
      keptIn: undefined,
      gap: { log, fromLogId: 1, toLogId: 90, messages: 90 },
    });
  });

  it('a new store of the gateway begins without a gap', () => {
    const fresh = { log, accepted: 3, buffered: 3, drainedLogId: 0, keptAfterLogId: 0 };
    assert.deepEqual(judgeContinuity(fresh, { highWaterMark: 0, counted: 0, database }), {
      kind: 'continues',
      isNew: false,
    });
  });

  it('row 1: a log is not drained into another database unless that is adopted', () => {
    const bound = { ...state, keptAfterLogId: 90, database: other };
    const empty = { highWaterMark: 0, counted: 0, database };
    for (const adopted of [undefined, other]) {
      const refused = judgeContinuity(bound, empty, adopted);
      assert.deepEqual(refused, { kind: 'other_database', otherDatabase: { log, database, former: other } });
      // A database that is ahead is refused too.
      assert.equal(judgeContinuity(bound, { ...empty, highWaterMark: 99 }, adopted).kind, 'other_database');
    }
    assert.match(describeOtherDatabase({ log, database, former: other }), /ADOPT_DATABASE=aaaaaaaa-/);
    const gap = { log, fromLogId: 1, toLogId: 90, messages: 90 };
    assert.deepEqual(judgeContinuity(bound, empty, database), { kind: 'gap', gap, keptIn: other });
    const after = { highWaterMark: 90, counted: 90, database };
    assert.deepEqual(judgeContinuity(bound, after, database), { kind: 'continues', isNew: true });
  });

  it('the first database of a log is trusted, a known one is not remembered again', () => {
    const all = { highWaterMark: 90, counted: 90, database };
    const kinds = [null, database].map((known) => judgeContinuity({ ...state, database: known }, all));
    assert.deepEqual(kinds, [
      { kind: 'continues', isNew: true },
      { kind: 'continues', isNew: false },
    ]);
  });

  it('a drain never continues behind acknowledged messages that are missing', () => {
    const seed = Date.now() % 2 ** 31;
    const id = fc.nat({ max: 50 });
    const property = fc.property(id, id, id, (mark, drained, kept) => {
      const at = { ...state, drainedLogId: drained, keptAfterLogId: Math.min(kept, drained) };
      const verdict = judgeContinuity(at, { highWaterMark: mark, counted: mark, database });
      if (mark < drained) assert.notEqual(verdict.kind, 'continues');
      // Messages are sent again from the database's own place on, or from where they are kept.
      if (verdict.kind === 'behind') assert.ok(verdict.afterLogId >= mark && verdict.afterLogId < drained);
    });
    fc.assert(property, { seed, numRuns: 500 });
  });
});
