import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { everyStep, untilGone, type Left, type Removal } from './until-gone.ts';

/** A removal whose looks give these answers, one after the other; the last one stays. */
function removalOf(looks: (Left | Error)[], remove: Removal['remove'] = async () => undefined) {
  const seen = { attempts: [] as number[], pauses: [] as number[], said: [] as string[] };
  const removal: Removal = {
    what: 'the project',
    remove: async (attempt) => {
      seen.attempts.push(attempt);
      return remove(attempt);
    },
    look: async () => {
      const answer = looks.length > 1 ? looks.shift() : looks[0];
      if (answer instanceof Error) throw answer;
      return answer ?? {};
    },
    attemptsMax: 4,
    pauseMs: 100,
    say: (line) => seen.said.push(line),
    pause: async (ms) => seen.pauses.push(ms),
  };
  return { removal, seen };
}

const nothing = { containers: [], networks: [] };
const oneNetwork = { containers: [], networks: ['data'] };

describe('a removal', () => {
  it('that leaves nothing is done once', async () => {
    const { removal, seen } = removalOf([nothing]);
    await untilGone(removal);
    assert.deepEqual(seen, { attempts: [1], pauses: [], said: [] });
  });

  it('is repeated while a network has endpoints, and says why', async () => {
    const busy = Object.assign(new Error('Command failed'), {
      stderr: ' Network data  Removing\nnetwork data has active endpoints\n',
    });
    const { removal, seen } = removalOf([oneNetwork, oneNetwork, nothing], async (attempt) => {
      if (attempt < 3) throw busy;
    });
    await untilGone(removal);
    assert.deepEqual(seen.attempts, [1, 2, 3]);
    assert.deepEqual(seen.pauses, [100, 200]);
    assert.equal(
      seen.said[0],
      '  the project is not gone after attempt 1 of 4, left: networks data; network data has active endpoints',
    );
  });

  it('that reports an error but leaves nothing has succeeded', async () => {
    const { removal, seen } = removalOf([nothing], async () =>
      Promise.reject(new Error('no such container')),
    );
    await untilGone(removal);
    assert.deepEqual(seen.attempts, [1]);
  });

  it('that always leaves something fails after the last attempt and names it', async () => {
    const busy = new Error('has active endpoints');
    const { removal, seen } = removalOf([oneNetwork], async () => Promise.reject(busy));
    await assert.rejects(untilGone(removal), (error: Error) => {
      assert.equal(
        error.message,
        'the project is not gone after 4 attempts, left: networks data; has active endpoints',
      );
      assert.equal(error.cause, busy);
      return true;
    });
    assert.deepEqual(seen.attempts, [1, 2, 3, 4]);
  });

  it('without an error fails too if something is left', async () => {
    const { removal } = removalOf([{ containers: ['a', 'b'], networks: ['data'] }]);
    await assert.rejects(untilGone(removal), /after 4 attempts, left: containers a, b; networks data$/);
  });

  it('that cannot look is repeated, and is never taken for done', async () => {
    const { removal, seen } = removalOf([new Error('the engine does not answer'), nothing]);
    await untilGone(removal);
    assert.deepEqual(seen.attempts, [1, 2]);
    const blind = removalOf([new Error('the engine does not answer')]);
    await assert.rejects(untilGone(blind.removal), /cannot be seen; the engine does not answer$/);
  });
});

it('a step that fails does not keep the later steps from being taken', async () => {
  const taken: number[] = [];
  const step = (id: number, error?: Error) => async () => {
    taken.push(id);
    if (error !== undefined) throw error;
  };
  const last = new Error('three');
  await assert.rejects(everyStep([step(1), step(2, new Error('two')), step(3, last), step(4)]), last);
  assert.deepEqual(taken, [1, 2, 3, 4]);
  await everyStep([step(5)]);
});
