import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { passing } from '@thermomesh/links';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import { isVersion } from '../core/job-view.ts';
import { blobsOf, nodesOf, type JobView, type Submission } from '../core/jobs.ts';
import type { Jobs } from '../core/ports.ts';
import { storeJob, submission, writeProgress } from './testing/jobs.ts';
import { until } from '@thermomesh/testing';
import { createZooKeeperJobs } from './zookeeper-jobs.ts';

const { clients, freshPath } = useZooKeeper();
let zk: ZooKeeper;
let root: string;
let jobs: Jobs;

beforeEach(async () => {
  zk = await clients.connect();
});

function newRoot(): void {
  root = freshPath();
  jobs = createZooKeeperJobs({ zk, root, countAgainMs: 0 });
}

/** A client whose server shows `earlier` for every job until it has been asked to catch up. */
function laggingBehind(client: ZooKeeper, earlier: Awaited<ReturnType<ZooKeeper['getData']>>): ZooKeeper {
  let hasCaughtUp = false;
  return new Proxy(client, {
    get(target, name) {
      if (name === 'getData')
        return async (path: string) =>
          hasCaughtUp || !path.includes('/jobs/') ? target.getData(path) : earlier;
      if (name === 'sync')
        return async (path: string) => {
          await target.sync(path);
          hasCaughtUp = true;
        };
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

/** A bound that always requires an exact answer. */
const always = { all: 0, ofCaller: 0 };

const store = async (of: Submission, phase: JobMetadata['phase']) => storeJob(zk, root, of, phase);
const tell = async (of: Submission, phase: string, done: number, chunks: number) =>
  writeProgress(zk, root, of.id, { phase, done, chunks });

describe('accepting', () => {
  it('an accepted job can be read by any node while no node coordinates', async () => {
    newRoot();
    assert.equal(await jobs.read(randomUUID()), undefined);
    const mine = submission();
    await jobs.accept(mine);
    const other = createZooKeeperJobs({ zk: await clients.connect(), root });
    const view = await other.read(mine.id);
    assert.deepEqual(view?.submission, mine);
    assert.deepEqual([view.phase, view.progress, view.result, view.reason], ['queued', null, null, null]);
    assert.ok(isVersion(view.version), view.version);
  });

  it('an end that one node has shown is not taken back by a node whose server lags', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    await store(mine, 'applying');
    const earlier = await zk.getData(nodesOf(root).job(mine.id));
    await store(mine, 'finished');
    const lagging = createZooKeeperJobs({ zk: laggingBehind(zk, earlier), root });
    assert.equal((await lagging.read(mine.id))?.phase, 'finished');
  });

  it('accepting a known id changes nothing', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    await store(mine, 'mapping');
    const before = await jobs.read(mine.id);
    await jobs.accept({ ...mine, caller: 'key:eve', input: 'jobs/other/input' });
    assert.deepEqual(await jobs.read(mine.id), before);
  });

  it('an acceptance whose answer was lost becomes exactly one job', async () => {
    newRoot();
    await zk.ensurePath(nodesOf(root).jobs);
    const { zk: cut, link } = await clients.connectThroughLink();
    const mine = submission();
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const accepting = createZooKeeperJobs({ zk: cut, root, callTimeoutMs: 30_000 }).accept(mine);
    await until('the job', async () => (await zk.exists(nodesOf(root).job(mine.id))) !== undefined);
    const before = await zk.exists(nodesOf(root).job(mine.id));
    await link.set({ ...passing, state: 'cut' });
    await until('the cut', () => cut.phase === 'suspended');
    await link.set(passing);
    await accepting;
    assert.deepEqual(await zk.exists(nodesOf(root).job(mine.id)), before);
    assert.deepEqual(await jobs.countOpen('key:ann', always), { all: 1, ofCaller: 1 });
  });

  it('without a server, calls fail with jobs.unavailable in bounded time', async () => {
    newRoot();
    const { zk: cut, link } = await clients.connectThroughLink();
    await link.set({ ...passing, state: 'cut' });
    await until('the cut', () => cut.phase !== 'connected');
    const far = createZooKeeperJobs({ zk: cut, root, callTimeoutMs: 50 });
    const unavailable = { code: 'jobs.unavailable', retriable: true };
    await assert.rejects(far.accept(submission()), unavailable);
    await assert.rejects(far.read(randomUUID()), unavailable);
    await assert.rejects(far.list('key:ann'), unavailable);
    await link.set(passing);
    await cut.whenConnected({ timeoutMs: 15_000 });
  });
});

describe('lists and counts', () => {
  it('lists and counts hold the caller’s jobs, newest first, without forgotten ones', async () => {
    newRoot();
    assert.deepEqual(await jobs.list('key:ann'), []);
    assert.deepEqual(await jobs.countOpen('key:ann', always), { all: 0, ofCaller: 0 });
    const [one, two, bobs] = [
      submission({ submittedAtMs: 1 }),
      submission({ submittedAtMs: 2 }),
      submission({ caller: 'key:bob' }),
    ];
    for (const each of [one, two, bobs]) await jobs.accept(each);
    const ids = async (caller: string) => (await jobs.list(caller)).map((view) => view.submission.id);
    assert.deepEqual(await ids('key:ann'), [two.id, one.id]);
    assert.deepEqual(await jobs.countOpen('key:bob', always), { all: 3, ofCaller: 1 });
    await zk.delete(nodesOf(root).job(two.id));
    assert.deepEqual(await ids('key:ann'), [one.id]);
    assert.deepEqual(await jobs.countOpen('key:ann', always), { all: 2, ofCaller: 1 });
  });

  it('jobs that are over do not count, and below the limit no job is read again', async () => {
    newRoot();
    const mine = [submission(), submission(), submission()];
    for (const each of mine) await jobs.accept(each);
    assert.deepEqual(await jobs.countOpen('key:ann', always), { all: 3, ofCaller: 3 });
    const phases = ['finished', 'failed', 'cancelled'] as const;
    for (const [at, each] of mine.entries()) await store(each, phases[at] ?? 'failed');
    const room = { all: 4, ofCaller: 4 };
    assert.deepEqual(await jobs.countOpen('key:ann', room), { all: 3, ofCaller: 3 }, 'a bound is enough');
    assert.deepEqual(await jobs.countOpen('key:ann', { all: 4, ofCaller: 3 }), always);
    const next = submission();
    await jobs.accept(next);
    await store(next, 'mapping');
    assert.deepEqual(await jobs.countOpen('key:bob', { all: 1, ofCaller: 1 }), { all: 1, ofCaller: 0 });
  });

  it('repeated counts at the limit share one read of the open jobs', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    let reads = 0;
    const counting = new Proxy(zk, {
      get(target, name) {
        if (name === 'getData') reads += 1;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const patient = createZooKeeperJobs({ zk: counting, root, countAgainMs: 3_600_000 });
    await patient.countOpen('key:ann', always);
    const first = reads;
    await Promise.all(Array.from({ length: 20 }, async () => patient.countOpen('key:ann', always)));
    assert.equal(reads, first);
  });

  it('a damaged document is reported and hides no other job', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    const id = randomUUID();
    await zk.create(nodesOf(root).job(id), Buffer.from('{"submission":'));
    const damaged: string[] = [];
    const watchful = createZooKeeperJobs({ zk, root, onDamaged: (path) => damaged.push(path) });
    assert.deepEqual(
      (await watchful.list('key:ann')).map((view) => view.submission.id),
      [mine.id],
    );
    assert.deepEqual([...new Set(damaged)], [nodesOf(root).job(id)]);
    await assert.rejects(watchful.read(id), { code: 'jobs.damaged' });
  });
});

describe('cancelling', () => {
  it('a cancellation is stored once, and not for a job that is over or unknown', async () => {
    newRoot();
    const [running, over] = [submission(), submission()];
    for (const each of [running, over]) await jobs.accept(each);
    await store(over, 'finished');
    for (const id of [running.id, running.id, over.id, randomUUID()]) await jobs.cancel(id);
    assert.deepEqual((await zk.getChildren(nodesOf(root).cancellations)).names, [running.id]);
  });
});

describe('following', () => {
  async function all(id: string, from: Jobs = jobs): Promise<JobView[]> {
    const views: JobView[] = [];
    for await (const view of from.follow(id, new AbortController().signal)) views.push(view);
    return views;
  }

  it('following a job yields each change once, with growing versions, until its end', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    const views: JobView[] = [];
    const following = (async () => {
      for await (const view of jobs.follow(mine.id, new AbortController().signal)) views.push(view);
    })();
    const seen = async (what: string) =>
      until(what, () => views.some((view) => `${view.phase} ${view.progress?.done ?? '-'}` === what));
    await seen('queued -');
    await store(mine, 'mapping');
    await seen('mapping -');
    await tell(mine, 'mapping', 1, 3);
    await seen('mapping 1');
    await tell(mine, 'reducing', 3, 3);
    await seen('reducing 3');
    // The progress belongs to the previous phase and is ignored.
    await store(mine, 'applying');
    await seen('applying -');
    await tell(mine, 'stitching', 3, 3);
    await seen('stitching 3');
    await store(mine, 'finished');
    await following;
    const last = views.at(-1);
    assert.deepEqual([last?.phase, last?.result], ['finished', blobsOf(mine.id).result]);
    const versions = views.map((view) => view.version);
    assert.deepEqual(versions, [...new Set(versions)].sort());
    assert.deepEqual(
      (await all(mine.id)).map((view) => view.phase),
      ['finished'],
    );
  });

  it('following ends when the job is forgotten, and at once for an unknown job', async () => {
    newRoot();
    assert.deepEqual(await all(randomUUID()), []);
    const mine = submission();
    await jobs.accept(mine);
    const following = jobs.follow(mine.id, new AbortController().signal)[Symbol.asyncIterator]();
    assert.equal((await following.next()).done, false);
    await zk.delete(nodesOf(root).job(mine.id));
    assert.equal((await following.next()).done, true);
  });

  it('a slow reader gets the latest state and skips those between', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    await store(mine, 'mapping');
    const following = jobs.follow(mine.id, new AbortController().signal)[Symbol.asyncIterator]();
    await following.next();
    for (let done = 1; done <= 20; done++) await tell(mine, 'mapping', done, 20);
    await store(mine, 'finished');
    // A session receives its watch events before any later answer.
    await zk.sync();
    const rest: (string | undefined)[] = [];
    await until('the end', async () => {
      const next = await following.next();
      if (next.done !== true) rest.push(next.value.phase);
      return next.done === true;
    });
    assert.equal(rest.at(-1), 'finished');
    assert.ok(rest.length <= 3, rest.join());
  });

  it('a reader that stops causes no further requests', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    const own = await clients.connect();
    const gone = new AbortController();
    const following = createZooKeeperJobs({ zk: own, root }).follow(mine.id, gone.signal);
    const iterator = following[Symbol.asyncIterator]();
    await iterator.next();
    const waiting = iterator.next();
    gone.abort();
    assert.equal((await waiting).done, true);
    const before = own.requestsMade;
    await store(mine, 'mapping');
    await store(mine, 'finished');
    await own.sync();
    assert.equal(own.requestsMade, before + 1);
  });

  it('a reader misses no final state over an outage and a reconnection', async () => {
    newRoot();
    const mine = submission();
    await jobs.accept(mine);
    const { zk: cut, link } = await clients.connectThroughLink();
    const far = createZooKeeperJobs({ zk: cut, root });
    const iterator = far.follow(mine.id, new AbortController().signal)[Symbol.asyncIterator]();
    await iterator.next();
    await link.set({ ...passing, state: 'cut' });
    await until('the cut', () => cut.phase === 'suspended');
    await store(mine, 'failed');
    await link.set(passing);
    const next = await iterator.next();
    assert.ok(next.done !== true);
    assert.deepEqual([next.value.phase, next.value.reason], ['failed', 'no']);
    assert.equal((await iterator.next()).done, true);
  });
});
