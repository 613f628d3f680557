import assert from 'node:assert/strict';
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

  it('finds nothing wrong when each acked reading is stored once', async () => {
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

  it('acked but in neither table is lost', async () => {
    const result = await judge([sent(0, 0), sent(0, 1), acked(0, 0), acked(0, 1)], [stored(0, 0)]);
    assert.deepEqual(pick(result), { ...none, stored: 1, lost: 1 });
    assert.equal(result.examples[0]?.kind, 'lost');
    assert.equal(result.examples[0].deviceId, 'load-r1-0');
    assert.equal(result.examples[0].number, 1);
  });

  it('never acked may be stored or not: neither is lost', async () => {
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

  it('stored and rejected is duplicated', async () => {
    const result = await judge(
      [sent(0, 0), acked(0, 0)],
      [stored(0, 0)],
      [rejected(0, goodBytes(0, 0), 'seq_conflict')],
    );
    assert.deepEqual(pick(result), { ...none, stored: 1, rejected: 1, duplicated: 1 });
  });

  it('rejected twice is duplicated', async () => {
    const rows = [rejected(1, poisonBytes('a')), rejected(1, poisonBytes('a'))];
    const result = await judge([poison(1, 0, 'a'), acked(1, 0)], [], rows);
    assert.deepEqual(pick(result), { ...none, rejected: 1, duplicated: 1 });
  });

  it('stored twice is duplicated', async () => {
    const result = await judge([sent(0, 0), acked(0, 0)], [stored(0, 0), stored(0, 0)]);
    assert.deepEqual(pick(result), { ...none, stored: 1, duplicated: 1 });
  });

  const changes: [string, Partial<StoredRow>][] = [
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

  it('poison that was rejected for the expected reason is where it belongs', async () => {
    const result = await judge([poison(0, 0, 'a'), acked(0, 0)], [], [rejected(0, poisonBytes('a'))]);
    assert.deepEqual(pick(result), { ...none, rejected: 1 });
    assert.equal(result.otherReason, 0);
  });

  it('poison that is acked and nowhere is lost, poison that is stored is corrupted', async () => {
    assert.equal((await judge([poison(0, 0, 'a'), acked(0, 0)], [])).lost, 1);
    assert.deepEqual(pick(await judge([poison(0, 0, 'a'), acked(0, 0)], [stored(0, 0)])), {
      ...none,
      stored: 1,
      corrupted: 1,
    });
  });

  it('poison rejected for another reason is told apart', async () => {
    const result = await judge([poison(0, 0, 'a')], [], [rejected(0, poisonBytes('a'), 'bad_seq')]);
    assert.deepEqual([result.otherReason, result.rejected, result.examples[0]?.kind], [1, 1, 'other_reason']);
  });

  it('a good reading that was rejected is not lost, but told', async () => {
    const result = await judge(
      [sent(0, 0), acked(0, 0)],
      [],
      [rejected(0, goodBytes(0, 0), 'refused_by_database')],
    );
    assert.deepEqual(pick(result), { ...none, rejected: 1 });
    assert.equal(result.goodRejected, 1);
  });

  it('rejected bytes with other values than sent do not excuse the reading', async () => {
    const other = Buffer.from(goodBytes(0, 0).toString().replace('21.57', '3'));
    const result = await judge([sent(0, 0), acked(0, 0)], [], [rejected(0, other, 'seq_conflict')]);
    assert.deepEqual([result.lost, result.neverSent], [1, 1]);
  });

  it('a row that nobody sent is corrupted', async () => {
    const rows = [stored(0, 5), stored(9, 0), stored(0, 0, { deviceId: 'load-r1-00' })];
    const result = await judge([sent(0, 0)], rows, [rejected(0, poisonBytes('?'))]);
    assert.deepEqual(pick(result), { ...none, corrupted: 3 });
    assert.equal(result.neverSent, 4);
  });

  it('lists the first findings of each kind only', async () => {
    const lines = Array.from({ length: 9 }, (_, number) => sent(0, number) + acked(0, number));
    const result = await compare(ledgerOf(...lines), [], [], { examplesMax: 2 });
    assert.deepEqual([result.lost, result.examples.length], [9, 2]);
  });

  it('adds runs up, and its document fits the contract', async () => {
    const one = await judge([sent(0, 0), acked(0, 0)], [stored(0, 0)]);
    const two = await judge([sent(0, 0), acked(0, 0, 9000)], []);
    const both = addComparisons([one, two]);
    assert.deepEqual(pick(both), { ...none, stored: 1, lost: 1 });
    assert.ok(Math.abs((both.ackMs.max ?? 0) - 8) < 0.01);
    const document = loadDocument(both, { ratePerSecond: 2 });
    assert.deepEqual(Object.keys(document).sort(), Object.keys(LoadDocument.properties).sort());
    assert.deepEqual(addComparisons([]).ackMs, { p50: null, p99: null, max: null });
  });

  it('whatever the order of the rows, each entry is counted where it is', async () => {
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
