import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LeaderElection, type Lease, type ZooKeeper } from '@thermomesh/zookeeper';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import { fencedWrites } from './fenced-writes.ts';
import { createJobStore } from './zookeeper-job-store.ts';
import { createProgressStore } from './zookeeper-progress.ts';
import { nodesOf } from '../core/jobs.ts';

const submission = {
  id: '11111111-2222-3333-4444-555555555555',
  caller: 'key:ann',
  input: 'jobs/a/input',
  parameters: {},
  fileName: 'a.png',
  submittedAtMs: 1,
};

const { clients, freshPath } = useZooKeeper();

describe('the fence', () => {
  let zk: ZooKeeper;
  let root: string;
  const elections: LeaderElection[] = [];
  beforeEach(async () => {
    zk = await clients.connect();
    root = freshPath();
    for (const path of [nodesOf(root).jobs, nodesOf(root).progressOfJobs]) await zk.ensurePath(path);
  });
  afterEach(async () => {
    await Promise.all(elections.splice(0).map(async (election) => election.close()));
  });

  /**
   * Elects a candidate. Its writes never learn of the end of the lease, as if the process slept.
   */
  async function seat(id: string) {
    const elected = Promise.withResolvers<Lease>();
    const listener = { elected: elected.resolve };
    const election = new LeaderElection(zk, { path: `${root}/coordinator`, id, listener }).start();
    elections.push(election);
    const lease = await elected.promise;
    const asleep: Lease = {
      epoch: lease.epoch,
      path: lease.path,
      held: true,
      ended: new Promise(() => undefined),
      signal: new AbortController().signal,
      assertHeld: () => undefined,
      onHeld: () => () => undefined,
      release: async () => undefined,
    };
    const options = { zk, root, onUnreadable: () => assert.fail() };
    const store = createJobStore({ ...options, writes: fencedWrites(zk, asleep) });
    const progress = createProgressStore({ ...options, writes: fencedWrites(zk, asleep) });
    return { election, store, progress };
  }

  it('a coordinator or leader without its seat writes nothing (I4)', async () => {
    const former = await seat('a');
    await former.store.store({ submission, metadata: null });
    const saved = { offset: 3, coordinatorEpoch: 1, handled: [], begun: null };
    await former.progress.save(0, saved);
    await former.election.close();
    const present = await seat('b');
    const deposed = { code: 'equalizer.deposed' };
    await assert.rejects(
      former.store.store({ submission: { ...submission, caller: 'x' }, metadata: null }),
      deposed,
    );
    await assert.rejects(former.store.remove(submission.id), deposed);
    await assert.rejects(
      former.store.saveProgress(submission.id, { phase: 'x', done: 0, chunks: 0 }),
      deposed,
    );
    await assert.rejects(former.progress.save(0, { ...saved, offset: 1 }), deposed);
    const [job] = await present.store.readAll();
    assert.deepEqual(job?.document.submission, submission);
    assert.equal((await present.progress.read(0))?.offset, 3);
  });

  it('progress of a forgotten job is not written, as it would never be removed', async () => {
    const present = await seat('c');
    await present.store.store({ submission, metadata: null });
    await present.store.saveProgress(submission.id, { phase: 'mapping', done: 0, chunks: 2 });
    assert.equal((await zk.getChildren(nodesOf(root).progressOfJobs)).names.length, 1);
    await present.store.remove(submission.id);
    await present.store.saveProgress(submission.id, { phase: 'mapping', done: 1, chunks: 2 });
    assert.deepEqual((await zk.getChildren(nodesOf(root).progressOfJobs)).names, []);
  });
});
