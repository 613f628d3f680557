import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { createLog } from '@thermomesh/runtime';
import { keepMarks, noMarks, parseMarks, type Marks } from './marks.ts';

const at = (tasks: number, results: number): Marks => ({ tasks: { 0: tasks }, results: { 0: results } });
const job = (id: string, phase: string, phaseEpoch = 5) => ({ id, phase, phaseEpoch }) as JobMetadata;

function keeperOf(initial: Marks, recovered: JobMetadata[] = []) {
  let now = initial;
  const keeper = keepMarks({
    ...{ epoch: 5, initial, recovered, intervalMs: 60_000 },
    positions: () => now,
    save: async () => undefined,
    log: createLog('test', 'silent'),
  });
  keeper.close();
  return { keeper, moveTo: (marks: Marks) => (now = marks) };
}

it('a successor reads from where the oldest job under way began its phase', () => {
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

it('a phase that a former coordinator began keeps the records from before, also when it is stored again', () => {
  const { keeper, moveTo } = keeperOf(at(3, 2), [job('a', 'mapping', 4)]);
  moveTo(at(9, 9));
  keeper.note(job('a', 'mapping', 4));
  assert.deepEqual(keeper.lowest(), at(3, 2));
});

it('what is not known is read from its beginning', () => {
  const { keeper, moveTo } = keeperOf(noMarks, [job('a', 'applying', 4)]);
  moveTo(at(9, 9));
  assert.deepEqual(keeper.lowest(), noMarks);
  assert.deepEqual(parseMarks(Buffer.from('{"tasks":{"0":-1}}')), noMarks);
  assert.deepEqual(parseMarks(null), noMarks);
  assert.deepEqual(parseMarks(Buffer.from(JSON.stringify(at(1, 2)))), at(1, 2));
});
