import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createFitness } from './fitness.ts';

/**
 * Waits for `count` changes of a fitness whose probe returns `answers` in turn and repeats the last
 * one.
 */
async function changes(answers: boolean[], count: number): Promise<boolean[]> {
  const seen: boolean[] = [];
  let look = 0;
  await new Promise<void>((resolve) => {
    const fitness = createFitness({
      intervalMs: 1,
      timeoutMs: 20,
      probes: {
        part: async () => {
          const ok = answers[Math.min(look++, answers.length - 1)];
          if (ok === undefined) return new Promise<never>(() => undefined);
          if (!ok) throw new Error('away');
        },
      },
    });
    fitness.start((fit) => {
      seen.push(fit);
      if (seen.length < count) return;
      fitness.stop();
      resolve();
    });
  });
  return seen;
}

it('two failed probes in a row make a node unfit, one does not', async () => {
  assert.deepEqual(await changes([true, false, true, true, false, false], 2), [true, false]);
});

it('a node that starts without its parts is unfit until the first success', async () => {
  assert.deepEqual(await changes([false, false, false, true], 2), [false, true]);
});

it('a probe that hangs has failed', async () => {
  const hangs = [true, undefined, undefined] as unknown as boolean[];
  assert.deepEqual(await changes(hangs, 2), [true, false]);
});
