/** What must hold when an answer is lost, on one server as on several. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { join } from '../client/paths.ts';
import { claim } from '../recipes/leases/claim.ts';
import { LeaderElection } from '../recipes/election/leader-election.ts';
import { Lock } from '../recipes/locks/lock.ts';
import { endingSessionMs, type TestClients } from '../testing/clients.ts';
import { namesIn, statOf } from '../testing/looks.ts';

/** @param clients makes clients of the suite's servers; called when a test runs */
export function lostAnswers(name: string, clients: () => TestClients): void {
  let places = 0;
  const freshPath = () => `/lost-answers/p${(places += 1)}`;

  describe(`${name}: a create whose answer is lost`, () => {
    it('a ticket whose create was not answered is adopted by its GUID, not drawn twice', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const election = new LeaderElection(zk, { path, id: 'only' }).start();
      await until('the ticket', async () => (await namesIn(other, path)).length === 1);
      const names = await namesIn(other, path);
      const first = await other.exists(join(path, names[0] ?? ''));
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await link.set(passing);
      await until('the leader', () => election.leads);
      assert.equal(election.lease?.epoch, first?.czxid);
      assert.deepEqual(await namesIn(other, path), names);
      await election.close();
    });

    it('a named node whose create was not answered is recognised as this very claim', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath('/lost-answers');
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const claiming = claim(zk, { path, content: {}, signal: new AbortController().signal });
      await until('the node', async () => (await other.exists(path)) !== undefined);
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await link.set(passing);
      const lease = await claiming;
      assert.ok(lease.held);
      // Another claim of the same session.
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

    it('a ticket of a session that is over is never adopted', async () => {
      const path = freshPath();
      const { zk, link, phases } = await clients().connectThroughLink({ sessionTimeoutMs: endingSessionMs });
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const election = new LeaderElection(zk, { path, id: 'only' }).start();
      await until('the ticket', async () => (await namesIn(other, path)).length === 1);
      const before = await other.exists(join(path, (await namesIn(other, path))[0] ?? ''));
      await until('the loss', () => phases.includes('lost'));
      await link.set(passing);
      await until('the leader', () => election.leads);
      assert.ok((election.lease?.epoch ?? 0n) > (before?.czxid ?? 0n));
      const names = await namesIn(other, path);
      assert.equal(names.length, 1);
      assert.equal((await statOf(other, join(path, names[0] ?? '')))?.ephemeralOwner, zk.session?.id);
      await election.close();
    });

    it('a ticket whose create was not answered is deleted once no caller waits for it', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const lock = new Lock(zk, path).start();
      const leaving = new AbortController();
      const acquiring = assert.rejects(lock.acquire({ signal: leaving.signal }), { message: 'enough' });
      await until('the ticket', async () => (await namesIn(other, path)).length === 1);
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      leaving.abort(new Error('enough'));
      await acquiring;
      await link.set(passing);
      await until('the ticket to go', async () => (await namesIn(other, path)).length === 0);
    });
  });

  describe(`${name}: a node that another client made during a cut`, () => {
    it('a node made by another client during a cut is not taken for mine', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      const lease = await claim(zk, { path, content: {}, signal: new AbortController().signal });
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await other.delete(path);
      await other.create(path, Buffer.from('{}'), { mode: 'ephemeral' });
      await link.set(passing);
      await until('the end of the lease', () => lease.signal.aborted);
      assert.deepEqual([await lease.ended, lease.held], ['revoked', false]);
      await lease.release();
      assert.equal((await statOf(other, path))?.ephemeralOwner, other.session?.id);
    });
  });

  describe(`${name}: a release whose answer is lost`, () => {
    it('a release whose answer is lost is done, and the next waiter gets its turn', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const lease = await new Lock(zk, path).start().acquire();
      const next = new Lock(await clients().connect(), path).start().acquire({ timeoutMs: 20_000 });
      await link.set({ ...passing, state: 'stall' });
      const release = lease.release();
      assert.equal(lease.held, false);
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await link.set(passing);
      await release;
      assert.ok((await next).epoch > lease.epoch);
    });
  });

  describe(`${name}: a release of a named node whose answer is lost`, () => {
    it('a release whose answer is lost does not delete a later node of that name', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      const options = { path, content: {}, signal: new AbortController().signal };
      const lease = await claim(zk, options);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const release = lease.release();
      const next = await claim(other, options);
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await link.set(passing);
      await release;
      const stat = await statOf(other, path);
      assert.deepEqual([stat?.czxid, next.held], [next.epoch, true]);
      await next.release();
    });
  });
}
