import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createAnswerWatch } from './answers.ts';
import type { Operation, OperationKey } from './core/operation.ts';

const longMs = 10_000;
const key = (transactionId: string) => ({ caller: 'gateway', transactionId });

it('a thousand calls that wait for a key share one query and get its answer', async () => {
  const asked: number[] = [];
  let looks = 0;
  const watch = createAnswerWatch(
    {
      async answered(keys: readonly OperationKey[]) {
        asked.push(keys.length);
        looks += 1;
        return looks < 3 ? [] : keys.map((one) => ({ ...one, answerBody: '{}' }) as Operation);
      },
    },
    1,
  );
  const waits = Array.from({ length: 1_000 }, async (_, n) =>
    watch.wait(key(n % 2 === 0 ? 'u1' : 'u2'), { timeoutMs: longMs }),
  );
  const found = await Promise.all(waits);
  assert.ok(found.every((operation) => operation?.answerBody === '{}'));
  assert.ok(asked.every((count) => count <= 2));
});

it('a wait that is over ends without an answer and asks no more', async () => {
  let asked = 0;
  const watch = createAnswerWatch({ answered: async (keys) => ((asked += keys.length), []) }, 1);
  assert.equal(await watch.wait(key('u1'), { timeoutMs: 20 }), undefined);
  const before = asked;
  assert.equal(await watch.wait(key('u2'), { timeoutMs: 20 }), undefined);
  assert.ok(asked > before);
});

it('a failed query fails the waiting calls, and later waits ask again', async () => {
  let fails = true;
  const watch = createAnswerWatch(
    {
      async answered(keys: readonly OperationKey[]) {
        if (fails) throw new Error('gone');
        return keys.map((one) => ({ ...one, answerBody: '{}' }) as Operation);
      },
    },
    1,
  );
  await assert.rejects(watch.wait(key('u1'), { timeoutMs: longMs }), /gone/);
  fails = false;
  assert.equal((await watch.wait(key('u1'), { timeoutMs: longMs }))?.answerBody, '{}');
});
