import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { confirm, type Terminal } from './confirm.ts';

const answering = (answer: string, asked: string[] = []): Terminal => ({
  isTTY: true,
  ask: async (question) => {
    asked.push(question);
    return answer;
  },
});
const none: Terminal = {
  isTTY: false,
  ask: async () => Promise.reject(new Error('asked without a terminal')),
};

describe('a command that nothing undoes', () => {
  it('row 4: without a terminal and without --yes it is refused', async () => {
    await assert.rejects(confirm('this deletes 3 nodes', {}, none), {
      code: 'usage',
      message: /^this deletes 3 nodes, .*--yes/,
    });
    await confirm('this deletes 3 nodes', { yes: true }, none);
  });

  it('at a terminal it asks, and only yes confirms', async () => {
    const asked: string[] = [];
    await confirm('this deletes 3 nodes', {}, answering(' Y\n', asked));
    assert.deepEqual(asked, ['this deletes 3 nodes, and nothing undoes it. Continue? [y/N] ']);
    for (const no of ['', 'n', 'yess', 'no'])
      await assert.rejects(confirm('x', {}, answering(no)), {
        code: 'not_confirmed',
        message: 'nothing was done',
      });
  });
});
