import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MeshError, messageOf } from '@thermomesh/runtime';
import fc from 'fast-check';
import { createGather } from './gather.ts';

/** A gather whose statements end when the test says it. */
function gatherWith(itemsMax: number, waitingMax = 100) {
  const statements: number[][] = [];
  const open: PromiseWithResolvers<void>[] = [];
  const call = createGather<number, string>({
    itemsMax,
    waitingMax,
    keyOf: String,
    run: async (items) => {
      statements.push([...items]);
      const gate = Promise.withResolvers<void>();
      open.push(gate);
      await gate.promise;
      return items.map((item) => `r${item}`);
    },
  });
  const turn = async () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  return { call, statements, turn, end: async () => (open.shift()?.resolve(), turn()) };
}

it('calls during a statement share the next one, each gets its own result', async () => {
  const { call, statements, turn, end } = gatherWith(3);
  const results = [call(1)];
  await turn();
  results.push(...[2, 3, 4, 5].map(call));
  for (let n = 0; n < 3; n++) await end();
  assert.deepEqual(statements, [[1], [2, 3, 4], [5]]);
  assert.deepEqual(await Promise.all(results), ['r1', 'r2', 'r3', 'r4', 'r5']);
});

it('two calls for one key never share a statement or overtake', async () => {
  const { call, statements, end, turn } = gatherWith(2);
  const results = [1, 2, 3, 3, 1].map(call);
  await turn();
  for (let n = 0; n < 4; n++) await end();
  assert.deepEqual(statements, [[1, 2], [3, 1], [3]]);
  assert.deepEqual(await Promise.all(results), ['r1', 'r2', 'r3', 'r3', 'r1']);
});

it('calls above the limit are refused as retriable, the others continue', async () => {
  const { call, end, turn } = gatherWith(2, 2);
  const first = [call(1), call(2)];
  await assert.rejects(call(3), { code: 'payments.busy', retriable: true });
  await turn();
  await end();
  assert.deepEqual(await Promise.all(first), ['r1', 'r2']);
});

it('a poison item does not fail its neighbours', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(200), { minLength: 1, maxLength: 40 }),
      fc.func(fc.boolean()),
      fc.integer({ min: 1, max: 16 }),
      async (items, isPoison, itemsMax) => {
        const done: number[] = [];
        const call = createGather<number, number>({
          itemsMax,
          waitingMax: 100,
          keyOf: String,
          run: async (batch) => {
            const bad = batch.find((item) => isPoison(item));
            if (bad !== undefined) throw new MeshError('sql.data_refused', `not ${bad}`);
            done.push(...batch);
            return batch;
          },
        });
        const results = await Promise.allSettled(items.map(call));
        for (const [index, item] of items.entries()) {
          const result = results[index]!;
          if (isPoison(item))
            assert.equal(result.status === 'rejected' && messageOf(result.reason), `not ${item}`);
          else assert.equal(result.status === 'fulfilled' && result.value, item);
        }
        assert.deepEqual([...done].sort(), items.filter((item) => !isPoison(item)).sort(), 'each once');
      },
    ),
  );
});

it('a lost connection fails all calls of the statement without bisection', async () => {
  let statements = 0;
  const call = createGather<number, number>({
    itemsMax: 10,
    waitingMax: 10,
    keyOf: String,
    run: async () => {
      statements += 1;
      throw new MeshError('sql.unavailable', 'gone', { retriable: true });
    },
  });
  const results = await Promise.allSettled([1, 2, 3].map(call));
  assert.ok(results.every(({ status }) => status === 'rejected'));
  assert.equal(statements, 1);
});
