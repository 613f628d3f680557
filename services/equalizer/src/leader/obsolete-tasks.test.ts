import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TaskRecord } from '@thermomesh/contracts';
import type { Outcome } from '@thermomesh/mapreduce';
import { createLog } from '@thermomesh/runtime';
import { obsolete, unlessObsolete, type ObsoleteTaskOptions } from './obsolete-tasks.ts';

const done: Outcome = { kind: 'done', digest: 'd', output: { kind: 'counts', channels: [] } };
const lost: Outcome = { kind: 'failed', reason: 'image.io: the image’s files cannot be read or written' };
const task: TaskRecord = {
  type: 'equalizer.task.v1',
  jobId: 'a',
  phase: 'applying',
  chunk: 0,
  attempt: 2,
  coordinatorEpoch: 5,
  failures: 0,
  table: 'jobs/a/made/table',
  parameters: {},
  rectangle: { left: 0, top: 0, width: 1, height: 1 },
  image: { key: 'jobs/a/made/spool', widthPixels: 1, heightPixels: 1, channels: 1, bitDepth: 8 },
};

/**
 * Does a task while only these files exist.
 * @returns its outcome, how often it was worked on, and how often its job was read
 */
async function outcomeIn(
  files: string[],
  over: Partial<Pick<ObsoleteTaskOptions, 'isOver' | 'work' | 'blobs'>> = {},
): Promise<{ outcome: unknown; worked: number; asked: number }> {
  let [worked, asked] = [0, 0];
  const isThere = (name: string) => files.includes(name);
  const all = isThere('spool') && isThere('table');
  const work = unlessObsolete({
    blobs: over.blobs ?? { exists: async (key) => isThere(key.slice('jobs/a/made/'.length)) },
    work: async (...given) => {
      worked += 1;
      return over.work?.(...given) ?? (all ? done : lost);
    },
    isOver: async (id) => {
      asked += 1;
      return over.isOver?.(id) ?? true;
    },
    log: createLog('test', 'silent'),
  });
  return { outcome: await work(task, new AbortController().signal), worked, asked };
}

describe('a task whose files are gone', () => {
  it('a task without files whose job is over is neither done nor answered', async () => {
    for (const left of [[], ['spool'], ['table']])
      assert.deepEqual(await outcomeIn(left), { outcome: obsolete, worked: 0, asked: 1 });
  });

  it('a task without files whose job runs fails: its spool is lost (I5)', async () => {
    const { outcome, worked } = await outcomeIn([], { isOver: async () => false });
    assert.deepEqual([outcome, worked], [lost, 1]);
  });

  it('a task whose job ends during the work is not answered', async () => {
    const { outcome } = await outcomeIn(['spool', 'table'], { work: async () => lost });
    assert.equal(outcome, obsolete);
  });

  it('a task is answered while ZooKeeper cannot tell whether its job is over', async () => {
    const away = async () => Promise.reject(new Error('ZooKeeper does not answer'));
    assert.deepEqual((await outcomeIn([], { isOver: away })).outcome, lost);
    const blobs = { exists: away };
    assert.deepEqual((await outcomeIn([], { blobs, isOver: away })).outcome, lost);
  });
});

it('a task of a running job causes no ZooKeeper request', async () => {
  assert.deepEqual(await outcomeIn(['spool', 'table']), { outcome: done, worked: 1, asked: 0 });
});
