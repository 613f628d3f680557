import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { sharedZooKeeper, type SharedZooKeeper } from '@thermomesh/servers';
import { LeaderElection, ZooKeeper, type Lease } from '@thermomesh/zookeeper';
import { nodesOf } from '../core/jobs.ts';
import { fencedWrites } from './fenced-writes.ts';
import { createJobStore } from './zookeeper-job-store.ts';
import { createProgressStore } from './zookeeper-progress.ts';

const submission = {
  ...{ id: '11111111-2222-3333-4444-555555555555', caller: 'key:ann', input: 'jobs/a/input' },
  ...{ parameters: {}, fileName: 'a.png', submittedAtMs: 1 },
};

describe('the fence', () => {
  let shared: SharedZooKeeper;
  let zk: ZooKeeper;
  let root: string;
  let places = 0;
  const elections: LeaderElection[] = [];
  before(async () => {
    shared = await sharedZooKeeper();
    zk = new ZooKeeper({ hosts: shared.hosts, sessionTimeoutMs: 10_000 });
    zk.start();
    await zk.whenConnected({ timeoutMs: 30_000 });
  });
  beforeEach(async () => {
    root = `${shared.root}/fence-${(places += 1)}`;
    for (const path of [nodesOf(root).jobs, nodesOf(root).progressOfJobs]) await zk.ensurePath(path);
  });
  afterEach(async () => {
    await Promise.all(elections.splice(0).map(async (election) => election.close()));
  });
  after(async () => {
    await zk.close();
    await shared.release();
  });

  /** The seat of whoever is next, and the writes of one that never hears of its end: it is asleep. */
  async function seat(id: string) {
    const elected = Promise.withResolvers<Lease>();
    const listener = { elected: elected.resolve };
    const election = new LeaderElection(zk, { path: `${root}/coordinator`, id, listener }).start();
    elections.push(election);
    const lease = await elected.promise;
    const asleep: Lease = {
      ...{ epoch: lease.epoch, path: lease.path, held: true, ended: new Promise(() => undefined) },
      ...{ signal: new AbortController().signal, assertHeld: () => undefined },
      ...{ onHeld: () => () => undefined, release: async () => undefined },
    };
    const options = { zk, root, onUnreadable: () => assert.fail() };
    const store = createJobStore({ ...options, writes: fencedWrites(zk, asleep) });
    const progress = createProgressStore({ ...options, writes: fencedWrites(zk, asleep) });
    return { election, store, progress };
  }

  it('a coordinator or leader whose seat is gone writes nothing, whatever it believes (I4)', async () => {
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

  it('progress of a job that is forgotten is not written: nobody would remove it', async () => {
    const present = await seat('c');
    await present.store.store({ submission, metadata: null });
    await present.store.saveProgress(submission.id, { phase: 'mapping', done: 0, chunks: 2 });
    assert.equal((await zk.getChildren(nodesOf(root).progressOfJobs)).names.length, 1);
    await present.store.remove(submission.id);
    await present.store.saveProgress(submission.id, { phase: 'mapping', done: 1, chunks: 2 });
    assert.deepEqual((await zk.getChildren(nodesOf(root).progressOfJobs)).names, []);
  });
});
