import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withRetries, type RetryOptions } from './retry.ts';

/** Runs work that fails with these errors, then succeeds. */
async function run(failures: unknown[], over: Partial<RetryOptions> = {}) {
  const errors: unknown[] = [];
  const pauses: number[] = [];
  let tries = 0;
  const result = withRetries(
    async () => {
      tries += 1;
      if (tries <= failures.length) throw failures[tries - 1];
      return 'done';
    },
    {
      triesMax: 3,
      mayRetry: () => true,
      onError: (error) => errors.push(error),
      pause: async (failed) => void pauses.push(failed),
      signal: new AbortController().signal,
      ...over,
    },
  );
  const outcome = await result.catch((error: unknown) => error);
  return { outcome, errors, pauses, tries };
}

describe('withRetries', () => {
  it('a failure that may pass is tried again, after a pause', async () => {
    const [first, second] = [new Error('1'), new Error('2')];
    const { outcome, errors, pauses } = await run([first, second]);
    assert.deepEqual([outcome, errors, pauses], ['done', [first, second], [1, 2]]);
  });

  it('the last of too many failures is thrown, and each was reported', async () => {
    const failures = [new Error('1'), new Error('2'), new Error('3'), new Error('4')];
    const { outcome, errors, tries } = await run(failures);
    assert.deepEqual([outcome, errors.length, tries], [failures[2], 3, 3]);
  });

  it('a permanent failure is thrown at once', async () => {
    const permanent = new Error('no');
    const { outcome, tries } = await run([permanent], { mayRetry: () => false });
    assert.deepEqual([outcome, tries], [permanent, 1]);
  });

  it('an aborted signal ends the attempts', async () => {
    const aborting = new AbortController();
    const failure = new Error('1');
    const pause = async () => aborting.abort();
    const { outcome, tries } = await run([failure], { pause, signal: aborting.signal });
    assert.deepEqual([outcome, tries], [failure, 1]);
    const { errors } = await run([failure], { signal: AbortSignal.abort() });
    assert.deepEqual(errors, [], 'an error after the end is not reported');
  });
});
