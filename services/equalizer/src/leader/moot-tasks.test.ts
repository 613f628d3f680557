import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TaskRecord } from '@thermomesh/contracts';
import type { Outcome } from '@thermomesh/mapreduce';
import { createLog } from '@thermomesh/runtime';
import { moot, unlessMoot, type MootTaskOptions } from './moot-tasks.ts';

const done: Outcome = { kind: 'done', digest: 'd', output: { kind: 'counts', channels: [] } };
const lost: Outcome = { kind: 'failed', reason: 'image.io: the image’s files cannot be read or written' };
const task: TaskRecord = {
  ...{ type: 'equalizer.task.v1', jobId: 'a', phase: 'applying', chunk: 0, attempt: 2, coordinatorEpoch: 5 },
  ...{ failures: 0, table: 'jobs/a/made/table', parameters: {} },
  rectangle: { left: 0, top: 0, width: 1, height: 1 },
  image: { key: 'jobs/a/made/spool', widthPixels: 1, heightPixels: 1, channels: 1, bitDepth: 8 },
};

/** A task in a world with these files. @returns what came of it, and how often it was worked on and its job asked for */
async function outcomeIn(
  files: string[],
  over: Partial<Pick<MootTaskOptions, 'isOver' | 'work' | 'blobs'>> = {},
): Promise<{ outcome: unknown; worked: number; asked: number }> {
  let [worked, asked] = [0, 0];
  const isThere = (name: string) => files.includes(name);
  const all = isThere('spool') && isThere('table');
  const work = unlessMoot({
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
  it('of-a-job-that-is-over-is-neither-worked-on-nor-answered', async () => {
    for (const left of [[], ['spool'], ['table']])
      assert.deepEqual(await outcomeIn(left), { outcome: moot, worked: 0, asked: 1 });
  });

  it('of-a-job-that-runs-is-a-failure: a lost spool is no stale task (I5)', async () => {
    const { outcome, worked } = await outcomeIn([], { isOver: async () => false });
    assert.deepEqual([outcome, worked], [lost, 1]);
  });

  it('while-they-are-worked-on-because-the-job-has-ended-is-not-answered', async () => {
    const { outcome } = await outcomeIn(['spool', 'table'], { work: async () => lost });
    assert.equal(outcome, moot);
  });

  it('is-answered-as-ever-while-nobody-can-tell-whether-its-job-is-over', async () => {
    const away = async () => Promise.reject(new Error('ZooKeeper does not answer'));
    assert.deepEqual((await outcomeIn([], { isOver: away })).outcome, lost);
    const blobs = { exists: away };
    assert.deepEqual((await outcomeIn([], { blobs, isOver: away })).outcome, lost);
  });
});

it('a-task-of-a-job-that-runs-asks-nothing-of-ZooKeeper', async () => {
  assert.deepEqual(await outcomeIn(['spool', 'table']), { outcome: done, worked: 1, asked: 0 });
});
