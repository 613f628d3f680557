/** What has to hold, on one server as on several, when an answer is lost. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { join } from '../client/paths.ts';
import { claim } from '../recipes/claim.ts';
import { LeaderElection } from '../recipes/leader-election.ts';
import { Lock } from '../recipes/lock.ts';
import { endingSessionMs, type TestClients } from '../testing/clients.ts';
import { namesIn, statOf } from '../testing/looks.ts';
import { until } from '../testing/until.ts';

/** @param clients of the suite's servers; called when a test runs */
export function lostAnswers(name: string, clients: () => TestClients): void {
  let places = 0;
  const freshPath = () => `/lost-answers/p${(places += 1)}`;

  describe(`${name}: a create whose answer is lost`, () => {
    it('of a ticket: is found by its GUID and adopted, not done twice', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const election = new LeaderElection(zk, { path, id: 'only' }).start();
      await until(async () => (await namesIn(other, path)).length === 1, 'the ticket');
      const names = await namesIn(other, path);
      const first = await other.exists(join(path, names[0] ?? ''));
      await link.set({ ...passing, state: 'cut' });
      await until(() => zk.phase === 'suspended', 'the cut');
      await link.set(passing);
      await until(() => election.leads, 'the leader');
      assert.equal(election.lease?.epoch, first?.czxid);
      assert.deepEqual(await namesIn(other, path), names);
      await election.close();
    });

    it('of a named node: is recognised as this very claim', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath('/lost-answers');
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
      const { zk, link, phases } = await clients().connectThroughLink({ sessionTimeoutMs: endingSessionMs });
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const election = new LeaderElection(zk, { path, id: 'only' }).start();
      await until(async () => (await namesIn(other, path)).length === 1, 'the ticket');
      const before = await other.exists(join(path, (await namesIn(other, path))[0] ?? ''));
      await until(() => phases.includes('lost'), 'the loss');
      await link.set(passing);
      await until(() => election.leads, 'the leader');
      assert.ok((election.lease?.epoch ?? 0n) > (before?.czxid ?? 0n));
      const names = await namesIn(other, path);
      assert.equal(names.length, 1);
      assert.equal((await statOf(other, join(path, names[0] ?? '')))?.ephemeralOwner, zk.session?.id);
      await election.close();
    });

    it('and that nobody waits for any more is undone', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      await other.ensurePath(path);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const lock = new Lock(zk, path).start();
      const leaving = new AbortController();
      const acquiring = assert.rejects(lock.acquire({ signal: leaving.signal }), { message: 'enough' });
      await until(async () => (await namesIn(other, path)).length === 1, 'the ticket');
      await link.set({ ...passing, state: 'cut' });
      await until(() => zk.phase === 'suspended', 'the cut');
      leaving.abort(new Error('enough'));
      await acquiring;
      await link.set(passing);
      await until(async () => (await namesIn(other, path)).length === 0, 'the ticket to go');
    });
  });

  describe(`${name}: a node that somebody else has made under the same name while the connection was cut`, () => {
    it('is not taken for mine, although I am connected again in the same session', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      const lease = await claim(zk, { path, content: {}, signal: new AbortController().signal });
      await link.set({ ...passing, state: 'cut' });
      await until(() => zk.phase === 'suspended', 'the cut');
      await other.delete(path);
      await other.create(path, Buffer.from('{}'), { mode: 'ephemeral' });
      await link.set(passing);
      await until(() => lease.signal.aborted, 'the end of the lease');
      assert.deepEqual([await lease.ended, lease.held], ['revoked', false]);
      await lease.release();
      assert.equal((await statOf(other, path))?.ephemeralOwner, other.session?.id);
    });
  });

  describe(`${name}: a release whose answer is lost`, () => {
    it('is done all the same, and the next one gets its turn', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const lease = await new Lock(zk, path).start().acquire();
      const next = new Lock(await clients().connect(), path).start().acquire({ timeoutMs: 20_000 });
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

  describe(`${name}: a release of a named node whose answer is lost`, () => {
    it('does not delete what somebody else has made under that name since', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink();
      const other = await clients().connect();
      const options = { path, content: {}, signal: new AbortController().signal };
      const lease = await claim(zk, options);
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const release = lease.release();
      const next = await claim(other, options);
      await link.set({ ...passing, state: 'cut' });
      await until(() => zk.phase === 'suspended', 'the cut');
      await link.set(passing);
      await release;
      const stat = await statOf(other, path);
      assert.deepEqual([stat?.czxid, next.held], [next.epoch, true]);
      await next.release();
    });
  });
}
