import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeCut, judgeHandOver, mergeRules, type CutReadings, type EpochBatches } from './rules.ts';

const epoch = (number: number, node: number, more: Partial<EpochBatches> = {}): EpochBatches => ({
  epoch: number,
  node,
  batches: 10,
  rows: 100,
  firstId: number * 10,
  lastId: number * 10 + 9,
  firstAtMs: 1_000,
  lastAtMs: 6_900,
  ...more,
});
const kept: CutReadings = {
  what: 'partition',
  cutAtMs: 1_000,
  healedAtMs: 7_000,
  epochs: { before: 3, atHeal: 4, settled: 5 },
  drained: [epoch(3, 5, { lastAtMs: 1_100 }), epoch(4, 4)],
  mustDrain: true,
};
const brokenBy = (more: Partial<CutReadings>) =>
  judgeCut({ ...kept, ...more })
    .filter(({ ok }) => !ok)
    .map(({ id }) => id);

describe('the rules of a cut', () => {
  it('a cut may cost one epoch, and its heal another one', () => assert.deepEqual(brokenBy({}), []));

  it('two epochs for one cut break the rule', () => {
    assert.deepEqual(brokenBy({ epochs: { before: 3, atHeal: 5, settled: 5 } }), ['one-epoch-per-cut']);
    assert.deepEqual(brokenBy({ epochs: { before: 3, atHeal: 4, settled: 6 } }), ['one-epoch-per-heal']);
  });

  it('two sides that drain at the same time are found', () => {
    assert.deepEqual(brokenBy({ drained: [epoch(3, 5, { lastId: 45 }), epoch(4, 4)] }), ['one-side-drains']);
    assert.deepEqual(brokenBy({ drained: [epoch(3, 5), epoch(3, 4)] }), ['one-side-drains']);
  });

  it('a cut during which no node drains is found, unless none could', () => {
    const drained = [epoch(3, 5, { lastAtMs: 1_100 })];
    assert.deepEqual(brokenBy({ drained }), ['drain-goes-on']);
    assert.deepEqual(brokenBy({ drained: [] }), ['drain-goes-on']);
    assert.deepEqual(brokenBy({ drained: [], mustDrain: false }), []);
  });

  it('the verdict of many rounds lists the rounds that broke the rule', () => {
    const rules = [judgeHandOver('a', 0), judgeHandOver('b', 7), judgeHandOver('c', 0)];
    assert.deepEqual(mergeRules(rules), [
      { id: 'hand-over-redelivers-nothing', ok: false, detail: 'b: 7 redelivered' },
    ]);
  });
});
