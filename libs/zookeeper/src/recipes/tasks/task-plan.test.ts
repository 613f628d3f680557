import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { given, planTasks, readResult, readTask, type KnownTask, type KnownWorker } from './task-plan.ts';

const task = (
  id: string,
  submitted: number,
  worker?: string,
  attempts = worker === undefined ? 0 : 1,
): KnownTask => ({
  id,
  submitted: BigInt(submitted),
  version: attempts,
  document: { payload: null, attempts, ...(worker === undefined ? {} : { worker, masterEpoch: '1' }) },
});
const told = (tasks: KnownTask[], workers: KnownWorker[], attemptsMax = 5) =>
  planTasks(tasks, workers, attemptsMax).map((step) =>
    step.type === 'give' ? `${step.task.id}→${step.worker}` : `${step.task.id}✗`,
  );

describe('the plan of a master', () => {
  it('the oldest task goes first, to the worker with most free slots', () => {
    const workers = [
      { name: 'a', slots: 1 },
      { name: 'b', slots: 2 },
    ];
    assert.deepEqual(told([task('late', 3), task('early', 1), task('middle', 2), task('last', 4)], workers), [
      'early→b',
      'middle→a',
      'late→b',
    ]);
  });

  it('living workers keep their tasks, orphans move, and deadly tasks are given up', () => {
    const workers = [{ name: 'a', slots: 2 }];
    assert.deepEqual(
      told([task('mine', 1, 'a'), task('orphan', 2, 'dead'), task('poison', 3, 'dead', 5)], workers),
      ['orphan→a', 'poison✗'],
    );
    assert.deepEqual(told([task('orphan', 1, 'dead')], []), []);
  });

  it('no worker gets more than its slots, no task is given twice, one round settles', () => {
    const workers = fc.uniqueArray(
      fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), slots: fc.integer({ min: 1, max: 3 }) }),
      {
        selector: ({ name }) => name,
      },
    );
    const tasks = fc.array(fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'dead'), { nil: undefined }), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(workers, tasks, (those, owners) => {
        const all = owners.map((owner, index) => task(`t${index}`, index, owner));
        const steps = planTasks(all, those, 5);
        assert.equal(new Set(steps.map((step) => step.task.id)).size, steps.length);
        const after = all.map((each) => {
          const step = steps.find(({ task: { id } }) => id === each.id);
          return step?.type === 'give' ? { ...each, document: given(each.document, step.worker, 2n) } : each;
        });
        for (const { name, slots } of those) {
          const before = all.filter(({ document }) => document.worker === name).length;
          const now = after.filter(({ document }) => document.worker === name).length;
          assert.ok(now <= Math.max(slots, before));
        }
        assert.deepEqual(planTasks(after, those, 5), []);
      }),
    );
  });

  it('documents that are neither task nor result are recognised', () => {
    for (const text of ['', '1', 'null', '{}', '{"outcome":1}']) {
      assert.deepEqual([readTask(Buffer.from(text)), readResult(Buffer.from(text))], [undefined, undefined]);
    }
  });
});
