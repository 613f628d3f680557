import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createFitness } from './fitness.ts';

/** Waits for `count` changes of a fitness whose probe answers from `answers`, the last one again and again. */
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
      onChange: (fit) => {
        seen.push(fit);
        if (seen.length < count) return;
        fitness.stop();
        resolve();
      },
    });
    fitness.start();
  });
  return seen;
}

it('one failed look is no reason to be unfit; two in a row are', async () => {
  assert.deepEqual(await changes([true, false, true, true, false, false], 2), [true, false]);
});

it('starts unfit if its parts are away, and becomes fit with the first success', async () => {
  assert.deepEqual(await changes([false, false, false, true], 2), [false, true]);
});

it('a probe that hangs has failed', async () => {
  const hangs = [true, undefined, undefined] as unknown as boolean[];
  assert.deepEqual(await changes(hangs, 2), [true, false]);
});
