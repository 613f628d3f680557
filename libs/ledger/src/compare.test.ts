import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { LoadDocument } from '@thermomesh/contracts';
import fc from 'fast-check';
import { addComparisons, compare, loadDocument } from './compare.ts';
import { acked, goodBytes, ledgerOf, poison, poisonBytes, rejected, sent, stored } from './fixtures.ts';
import { resentLine } from './lines.ts';
import type { RejectedRow, StoredRow } from './types.ts';

const pick = (result: Awaited<ReturnType<typeof compare>>) => ({
  stored: result.stored,
  rejected: result.rejected,
  lost: result.lost,
  duplicated: result.duplicated,
  corrupted: result.corrupted,
});
const none = { stored: 0, rejected: 0, lost: 0, duplicated: 0, corrupted: 0 };

describe('comparing a ledger with the tables', () => {
  const judge = async (lines: string[], rows: StoredRow[], refused: RejectedRow[] = []) =>
    compare(ledgerOf(...lines), rows, refused);

  it('a run whose acked readings are each stored once has no findings', async () => {
    const result = await judge(
      [sent(0, 0), sent(0, 1), acked(0, 0), acked(0, 1)],
      [stored(0, 1), stored(0, 0)],
    );
    assert.deepEqual(pick(result), { ...none, stored: 2 });
    assert.deepEqual([result.sent, result.acked, result.neverSent, result.examples.length], [2, 2, 0, 0]);
    for (const [found, expected] of [
      [result.ackMs, 2],
      [result.endToEndMs, 10],
    ] as const) {
      // Three significant digits.
      for (const value of [found.p50, found.p99, found.max])
        assert.ok(Math.abs((value ?? 0) / expected - 1) < 0.001);
    }
  });

  it('an acked reading in neither table is lost', async () => {
    const result = await judge([sent(0, 0), sent(0, 1), acked(0, 0), acked(0, 1)], [stored(0, 0)]);
    assert.deepEqual(pick(result), { ...none, stored: 1, lost: 1 });
    assert.equal(result.examples[0]?.kind, 'lost');
    assert.equal(result.examples[0].deviceId, 'load-r1-0');
    assert.equal(result.examples[0].number, 1);
  });

  it('an unacked reading is never lost, stored or not', async () => {
    const result = await judge([sent(0, 0), sent(0, 1)], [stored(0, 1)]);
    assert.deepEqual(pick(result), { ...none, stored: 1 });
    assert.equal(result.unackedStored, 1);
  });

  it('a reading sent again and stored once is no duplicate', async () => {
    const result = await judge(
      [sent(0, 0), resentLine(0, 0, 5), resentLine(0, 0, 6), acked(0, 0)],
      [stored(0, 0)],
    );
    assert.deepEqual(pick(result), { ...none, stored: 1 });
    assert.equal(result.sent, 1);
  });

  it('a reading that is stored and rejected is duplicated', async () => {
    const result = await judge(
      [sent(0, 0), acked(0, 0)],
      [stored(0, 0)],
      [rejected(0, goodBytes(0, 0), 'seq_conflict')],
    );
    assert.deepEqual(pick(result), { ...none, stored: 1, rejected: 1, duplicated: 1 });
  });

  it('a message that is rejected twice is duplicated', async () => {
    const rows = [rejected(1, poisonBytes('a')), rejected(1, poisonBytes('a'))];
    const result = await judge([poison(1, 0, 'a'), acked(1, 0)], [], rows);
    assert.deepEqual(pick(result), { ...none, rejected: 1, duplicated: 1 });
  });

  it('rejected poison that was sent again is a duplicate only beyond its sends', async () => {
    const lines = [poison(1, 0, 'a'), resentLine(1, 0, 5), acked(1, 0)];
    const row = rejected(1, poisonBytes('a'));
    assert.deepEqual(pick(await judge(lines, [], [row, row])), { ...none, rejected: 1 });
    const thrice = await judge(lines, [], [row, row, row]);
    assert.deepEqual(pick(thrice), { ...none, rejected: 1, duplicated: 1 });
  });

  it('poison whose bytes were cut is recognised by the hash of the whole', async () => {
    const whole = poisonBytes('a');
    const sha256 = createHash('sha256').update(whole).digest('hex');
    const cut = { ...rejected(1, whole.subarray(0, 3)), sha256 };
    assert.deepEqual(pick(await judge([poison(1, 0, 'a'), acked(1, 0)], [], [cut])), {
      ...none,
      rejected: 1,
    });
  });

  it('rejections of which only the count is kept explain as much poison', async () => {
    const lines = ['a', 'b', 'c'].flatMap((text, number) => [poison(1, number, text), acked(1, number)]);
    const count = { deviceId: 'load-r1-1', reason: 'not_json', count: 2 };
    const counted = await compare(ledgerOf(...lines), [], [rejected(1, poisonBytes('c'))], {
      rejectionCounts: [count, { ...count, reason: 'bad_seq', count: 9 }],
    });
    assert.deepEqual(pick(counted), { ...none, rejected: 2, lost: 1 });
  });

  it('rows that an operator erased explain as many missing ones, and no more', async () => {
    const lines = [0, 1, 2, 9].flatMap((number) => [sent(0, number), acked(0, number)]);
    const poisoned = ['a', 'b'].flatMap((text, number) => [poison(1, number, text), acked(1, number)]);
    const readings = { deviceId: 'load-r1-0', reason: null, firstSeq: 0, lastSeq: 5, erased: 2 };
    const messages = { deviceId: 'load-r1-1', reason: 'not_json', firstSeq: null, lastSeq: null, erased: 1 };
    const result = await compare(ledgerOf(...lines, ...poisoned), [], [], { erased: [readings, messages] });
    assert.deepEqual([result.erased, result.lost], [3, 3]);
    assert.deepEqual(
      result.examples.map(({ deviceId, number }) => [deviceId, number]),
      [
        ['load-r1-0', 2],
        ['load-r1-0', 9],
        ['load-r1-1', 1],
      ],
    );
  });

  it('rows of another life of the device are no matter of a part of a record', async () => {
    const lines = [sent(0, 0), acked(0, 0)];
    const other = stored(0, 0, { incarnation: 2, celsius: 3 });
    const partial = { partial: true };
    assert.deepEqual(pick(await compare(ledgerOf(...lines), [stored(0, 0), other], [], partial)), {
      ...none,
      stored: 1,
    });
    // An operator has opened incarnation 2, and the reading names none.
    const opened = stored(0, 0, { incarnation: 2 });
    assert.deepEqual(pick(await compare(ledgerOf(...lines), [opened], [], partial)), { ...none, stored: 1 });
  });

  it('a reading that is stored twice is duplicated', async () => {
    const result = await judge([sent(0, 0), acked(0, 0)], [stored(0, 0), stored(0, 0)]);
    assert.deepEqual(pick(result), { ...none, stored: 1, duplicated: 1 });
  });

  const changes: [string, Partial<StoredRow>][] = [
    ['incarnation', { incarnation: 1 }],
    ['celsius', { celsius: 21.56 }],
    ['setpoint', { setpointCelsius: null }],
    ['humidity', { humidityPercent: 0 }],
    ['heating', { heating: null }],
    ['measured_at by a millisecond', { measuredAtMs: stored(0, 0).measuredAtMs + 1 }],
  ];
  for (const [name, change] of changes) {
    it(`another ${name} is corrupted`, async () => {
      const result = await judge([sent(0, 0), acked(0, 0)], [stored(0, 0, change)]);
      assert.deepEqual(pick(result), { ...none, stored: 1, corrupted: 1 });
    });
  }

  it('values are compared at the precision of a real', async () => {
    const result = await judge([sent(0, 0)], [stored(0, 0, { celsius: Math.fround(21.57) })]);
    assert.equal(result.corrupted, 0);
  });

  it('poison that is rejected for the expected reason is no finding', async () => {
    const result = await judge([poison(0, 0, 'a'), acked(0, 0)], [], [rejected(0, poisonBytes('a'))]);
    assert.deepEqual(pick(result), { ...none, rejected: 1 });
    assert.equal(result.otherReason, 0);
  });

  it('acked poison in no table is lost, stored poison is corrupted', async () => {
    assert.equal((await judge([poison(0, 0, 'a'), acked(0, 0)], [])).lost, 1);
    assert.deepEqual(pick(await judge([poison(0, 0, 'a'), acked(0, 0)], [stored(0, 0)])), {
      ...none,
      stored: 1,
      corrupted: 1,
    });
  });

  it('poison that is rejected for another reason is counted separately', async () => {
    const result = await judge([poison(0, 0, 'a')], [], [rejected(0, poisonBytes('a'), 'bad_seq')]);
    assert.deepEqual([result.otherReason, result.rejected, result.examples[0]?.kind], [1, 1, 'other_reason']);
  });

  it('a good reading that was rejected is reported, but not lost', async () => {
    const result = await judge(
      [sent(0, 0), acked(0, 0)],
      [],
      [rejected(0, goodBytes(0, 0), 'refused_by_database')],
    );
    assert.deepEqual(pick(result), { ...none, rejected: 1 });
    assert.equal(result.goodRejected, 1);
  });

  it('rejected bytes with other values do not explain a missing reading', async () => {
    const other = Buffer.from(goodBytes(0, 0).toString().replace('21.57', '3'));
    const result = await judge([sent(0, 0), acked(0, 0)], [], [rejected(0, other, 'seq_conflict')]);
    assert.deepEqual([result.lost, result.neverSent], [1, 1]);
  });

  it('a stored row that was never sent is corrupted', async () => {
    const rows = [stored(0, 5), stored(9, 0), stored(0, 0, { deviceId: 'load-r1-00' })];
    const result = await judge([sent(0, 0)], rows, [rejected(0, poisonBytes('?'))]);
    assert.deepEqual(pick(result), { ...none, corrupted: 3 });
    assert.equal(result.neverSent, 4);
  });

  it('only the first findings of each kind are listed', async () => {
    const lines = Array.from({ length: 9 }, (_, number) => sent(0, number) + acked(0, number));
    const result = await compare(ledgerOf(...lines), [], [], { examplesMax: 2 });
    assert.deepEqual([result.lost, result.examples.length], [9, 2]);
  });

  it('runs add up, and their document fits the contract', async () => {
    const one = await judge([sent(0, 0), acked(0, 0)], [stored(0, 0)]);
    const two = await judge([sent(0, 0), acked(0, 0, 9000)], []);
    const both = addComparisons([one, two]);
    assert.deepEqual(pick(both), { ...none, stored: 1, lost: 1 });
    assert.ok(Math.abs((both.ackMs.max ?? 0) - 8) < 0.01);
    const document = loadDocument(both, { ratePerSecond: 2 });
    assert.deepEqual(Object.keys(document).sort(), Object.keys(LoadDocument.properties).sort());
    assert.deepEqual(addComparisons([]).ackMs, { p50: null, p99: null, max: null });
  });

  it('the order of the rows does not change the counts', async () => {
    const fates = fc.array(fc.constantFrom('stored', 'rejected', 'lost', 'both', 'corrupted'), {
      maxLength: 40,
    });
    const property = fc.asyncProperty(fates, fc.infiniteStream(fc.nat()), async (list, order) => {
      const lines = list.map((_, number) => sent(1, number) + acked(1, number));
      const shuffled = <T>(rows: T[]) =>
        rows
          .map((row) => ({ row, key: order.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ row }) => row);
      const rows = list.flatMap((fate, number) =>
        fate === 'stored' || fate === 'both'
          ? [stored(1, number)]
          : fate === 'corrupted'
            ? [stored(1, number, { celsius: 1 })]
            : [],
      );
      const refused = list.flatMap((fate, number) =>
        fate === 'rejected' || fate === 'both'
          ? [rejected(1, goodBytes(1, number), 'refused_by_database')]
          : [],
      );
      const result = await judge(lines, shuffled(rows), shuffled(refused));
      const of = (fate: string) => list.filter((one) => one === fate).length;
      assert.deepEqual(pick(result), {
        stored: of('stored') + of('both') + of('corrupted'),
        rejected: of('rejected') + of('both'),
        lost: of('lost'),
        duplicated: of('both'),
        corrupted: of('corrupted'),
      });
    });
    await fc.assert(property);
  });
});
