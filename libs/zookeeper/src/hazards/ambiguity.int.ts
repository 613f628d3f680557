/** Answers that are lost, nodes that vanish in between, processes that are stopped. */
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { join } from '../client/paths.ts';
import { claim } from '../recipes/claim.ts';
import { LeaderElection } from '../recipes/leader-election.ts';
import { Lock } from '../recipes/lock.ts';
import { TestClients, testTickTimeMs } from '../testing/clients.ts';
import type { LeaderNews } from '../testing/leader-child.ts';
import { until } from '../testing/until.ts';

let server: TestEnsemble;
let clients: TestClients;
before(async () => {
  server = await testZooKeeper({ tickTimeMs: testTickTimeMs });
  clients = new TestClients(server.hosts);
});
after(async () => server.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

let places = 0;
const freshPath = () => `/hazards/h${(places += 1)}`;

describe('a create whose answer is lost', () => {
  it('of a ticket: is found by its GUID and adopted, not done twice', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    await other.ensurePath(path);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const election = new LeaderElection(zk, { path, id: 'only' }).start();
    await until(async () => (await other.getChildren(path)).names.length === 1, 'the ticket');
    const { names } = await other.getChildren(path);
    const first = await other.exists(join(path, names[0] ?? ''));
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    await link.set(passing);
    await until(() => election.leads, 'the leader');
    assert.equal(election.lease?.epoch, first?.czxid);
    assert.deepEqual((await other.getChildren(path)).names, names);
    await election.close();
  });

  it('of a named node: is recognised as this very claim', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    await other.ensurePath('/hazards');
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const claiming = claim(zk, { path, content: {}, signal: new AbortController().signal });
    await until(async () => (await other.exists(path)) !== undefined, 'the node');
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    await link.set(passing);
    const lease = await claiming;
    assert.ok(lease.held);
    // Of the same session, and yet another claim.
    const late = new AbortController();
    const second = claim(zk, {
      path,
      content: {},
      signal: late.signal,
      onRest: () => late.abort(new Error('taken')),
    });
    await assert.rejects(second, { message: 'taken' });
    await lease.release();
  });

  it('is never adopted from a session that is over: its ticket is dying', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const other = await clients.connect();
    await other.ensurePath(path);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const election = new LeaderElection(zk, { path, id: 'only' }).start();
    await until(async () => (await other.getChildren(path)).names.length === 1, 'the ticket');
    const before = await other.exists(join(path, (await other.getChildren(path)).names[0] ?? ''));
    await until(() => phases.includes('lost'), 'the loss');
    await link.set(passing);
    await until(() => election.leads, 'the leader');
    assert.ok((election.lease?.epoch ?? 0n) > (before?.czxid ?? 0n));
    const { names } = await other.getChildren(path);
    assert.equal(names.length, 1);
    assert.equal((await other.exists(join(path, names[0] ?? '')))?.ephemeralOwner, zk.session?.id);
    await election.close();
  });

  it('and that nobody waits for any more is undone', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    await other.ensurePath(path);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const lock = new Lock(zk, path).start();
    const leaving = new AbortController();
    const acquiring = assert.rejects(lock.acquire({ signal: leaving.signal }), { message: 'enough' });
    await until(async () => (await other.getChildren(path)).names.length === 1, 'the ticket');
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    leaving.abort(new Error('enough'));
    await acquiring;
    await link.set(passing);
    await until(async () => (await other.getChildren(path)).names.length === 0, 'the ticket to go');
  });
});

describe('a node that somebody else has made under the same name while the connection was cut', () => {
  it('is not taken for mine, although I am connected again in the same session', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    const lease = await claim(zk, { path, content: {}, signal: new AbortController().signal });
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    await other.delete(path);
    await other.create(path, Buffer.from('{}'), { mode: 'ephemeral' });
    await link.set(passing);
    await until(() => lease.signal.aborted, 'the end of the lease');
    assert.deepEqual([await lease.ended, lease.held], ['revoked', false]);
    await lease.release();
    assert.equal((await other.exists(path))?.ephemeralOwner, other.session?.id);
  });
});

describe('a release whose answer is lost', () => {
  it('is done all the same, and the next one gets its turn', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const lease = await new Lock(zk, path).start().acquire();
    const next = new Lock(await clients.connect(), path).start().acquire({ timeoutMs: 20_000 });
    await link.set({ ...passing, state: 'stall' });
    const release = lease.release();
    assert.equal(lease.held, false);
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    await link.set(passing);
    await release;
    assert.ok((await next).epoch > lease.epoch);
  });
});

describe('a release of a named node whose answer is lost', () => {
  it('does not delete what somebody else has made under that name since', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    const options = { path, content: {}, signal: new AbortController().signal };
    const lease = await claim(zk, options);
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const release = lease.release();
    const next = await claim(other, options);
    await link.set({ ...passing, state: 'cut' });
    await until(() => zk.phase === 'suspended', 'the cut');
    await link.set(passing);
    await release;
    const stat = await other.exists(path);
    assert.deepEqual([stat?.czxid, next.held], [next.epoch, true]);
    await next.release();
  });
});

describe('a predecessor', () => {
  it('that vanishes between the list and the watch is not waited for', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const other = await clients.connect();
    const first = await new Lock(other, path).start().acquire();
    let vanished = 0;
    const exists = zk.exists.bind(zk);
    zk.exists = async (node, watch) => {
      if (node === first.path) {
        vanished += 1;
        await first.release();
        await zk.sync(path);
      }
      return exists(node, watch);
    };
    const lease = await new Lock(zk, path).start().acquire({ timeoutMs: 5_000 });
    assert.deepEqual([lease.held, vanished], [true, 1]);
  });
});

describe('a clock that jumps', () => {
  it('ends no lease and prolongs none: only time that passes counts', async (t) => {
    const zk = await clients.connect();
    const lease = await new Lock(zk, freshPath()).start().acquire();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
    await zk.sync('/');
    assert.ok(lease.held);
    t.mock.timers.setTime(0);
    await zk.sync('/');
    assert.ok(lease.held);
    t.mock.timers.reset();
  });

  it('two thirds of the session without an answer end the right to act, whatever else is known', async () => {
    let nowMs = 0;
    const zk = await clients.connect({ sessionTimeoutMs: 1_500, nowMs: () => nowMs });
    const lease = await new Lock(zk, freshPath()).start().acquire();
    nowMs = 999;
    assert.ok(lease.held);
    nowMs = 1_000;
    assert.equal(lease.held, false);
  });
});

describe('a leader that is stopped', () => {
  it('acts no more once its successor leads, and knows nothing but that it is deposed when it wakes', async () => {
    const path = freshPath();
    const news: { id: string; type: LeaderNews['type']; epoch: bigint }[] = [];
    const children: ChildProcess[] = [];
    const begin = (id: string) => {
      const child = fork(new URL('../testing/leader-child.ts', import.meta.url), [server.hosts, path, id]);
      child.on('message', ({ type, epoch }: LeaderNews) => news.push({ id, type, epoch: BigInt(epoch) }));
      children.push(child);
      return child;
    };
    const told = (id: string, type: LeaderNews['type']) =>
      news.filter((each) => each.id === id && each.type === type);
    try {
      const first = begin('first');
      await until(() => told('first', 'act').length > 2, 'the first to act');
      begin('second');
      const zk = await clients.connect();
      await until(async () => (await zk.getChildren(path)).names.length === 2, 'the standby');
      first.kill('SIGSTOP');
      await until(() => told('second', 'act').length > 2, 'the second to act');
      first.kill('SIGCONT');
      await until(() => told('first', 'deposed').length === 1, 'the first to know');
      const epochs = news.filter(({ type }) => type === 'act').map(({ epoch }) => epoch);
      // What the parent reads late was sent before the stop: the first one's pipe is read in order, but beside the second one's.
      const secondEpoch = told('second', 'elected')[0]?.epoch ?? 0n;
      const woken = news.slice(news.findLastIndex(({ id, type }) => id === 'first' && type === 'deposed'));
      assert.ok(
        woken.every(({ id, type, epoch }) => !(id === 'first' && type === 'act') || epoch > secondEpoch),
      );
      assert.ok(told('first', 'act').every(({ epoch }) => epoch < secondEpoch));
      assert.deepEqual(
        epochs.toSorted((left, right) => (left < right ? -1 : 1)),
        epochs,
      );
    } finally {
      for (const child of children) {
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
    }
  });
});
