import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { createLog } from '@thermomesh/runtime';
import { keepReadOffsets, noReadOffsets, parseReadOffsets, type ReadOffsets } from './read-offsets.ts';

const at = (tasks: number, results: number): ReadOffsets => ({
  tasks: { 0: tasks },
  results: { 0: results },
});
const job = (id: string, phase: string, phaseEpoch = 5) => ({ id, phase, phaseEpoch }) as JobMetadata;

function keeperOf(initial: ReadOffsets, recovered: JobMetadata[] = []) {
  let now = initial;
  const keeper = keepReadOffsets({
    epoch: 5,
    initial,
    recovered,
    intervalMs: 60_000,
    positions: () => now,
    save: async () => undefined,
    log: createLog('test', 'silent'),
  });
  keeper.close();
  return { keeper, moveTo: (readOffsets: ReadOffsets) => (now = readOffsets) };
}

it('a successor reads from where the oldest running job began its phase', () => {
  const { keeper, moveTo } = keeperOf(at(0, 0));
  keeper.note(job('a', 'queued'));
  moveTo(at(10, 8));
  keeper.note(job('a', 'mapping'));
  moveTo(at(20, 17));
  keeper.note(job('b', 'mapping'));
  assert.deepEqual(keeper.lowest(), at(10, 8));
  moveTo(at(30, 30));
  keeper.note(job('a', 'applying'));
  assert.deepEqual(keeper.lowest(), at(20, 17));
  keeper.note(job('b', 'cancelled'));
  keeper.note(job('a', 'finished'));
  assert.deepEqual(keeper.lowest(), at(30, 30));
});

it('a phase that a former coordinator began keeps its older read offsets', () => {
  const { keeper, moveTo } = keeperOf(at(3, 2), [job('a', 'mapping', 4)]);
  moveTo(at(9, 9));
  keeper.note(job('a', 'mapping', 4));
  assert.deepEqual(keeper.lowest(), at(3, 2));
});

it('without known offsets the topics are read from their beginning', () => {
  const { keeper, moveTo } = keeperOf(noReadOffsets, [job('a', 'applying', 4)]);
  moveTo(at(9, 9));
  assert.deepEqual(keeper.lowest(), noReadOffsets);
  assert.deepEqual(parseReadOffsets(Buffer.from('{"tasks":{"0":-1}}')), noReadOffsets);
  assert.deepEqual(parseReadOffsets(null), noReadOffsets);
  assert.deepEqual(parseReadOffsets(Buffer.from(JSON.stringify(at(1, 2)))), at(1, 2));
});
