/** What every implementation of an election must do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../client/zookeeper.ts';
import type { LeaseEnd, Lease } from '../recipes/leases/lease.ts';
import type { LeaderElection, ElectionOptions, SimpleElection } from '../recipes/election/leader-election.ts';
import { endingSessionMs, type TestClients } from '../testing/clients.ts';
import { Oracle } from '../testing/oracle.ts';

type AnyElection = LeaderElection | SimpleElection;
export type CreateElection = (zk: ZooKeeper, options: ElectionOptions) => AnyElection;

interface Told {
  election: AnyElection;
  news: string[];
  ends: LeaseEnd[];
}

let elections = 0;

/** @param clients makes clients of the suite's server; called when a test runs */
export function electionConformance(name: string, create: CreateElection, clients: () => TestClients): void {
  const freshPath = () => `/elections/${name}-${(elections += 1)}`;

  function candidate(zk: ZooKeeper, path: string, id: string, oracle = new Oracle()): Told {
    const told: Told = { election: undefined as unknown as AnyElection, news: [], ends: [] };
    const enter = (lease: Lease) => oracle.enter(lease);
    told.election = create(zk, {
      path,
      id,
      listener: {
        elected: (lease) => (told.news.push('elected'), enter(lease)),
        suspended: (lease) => (told.news.push('suspended'), oracle.leave(lease)),
        resumed: () => told.news.push('resumed'),
        deposed: (lease, end) => (told.news.push('deposed'), told.ends.push(end), oracle.leave(lease)),
        failed: (error) => told.news.push(`failed ${String(error)}`),
      },
    });
    return told;
  }

  describe(`${name} as an election`, () => {
    it('one of many candidates leads under a growing epoch, until none is left', async () => {
      const path = freshPath();
      const oracle = new Oracle();
      const all = await Promise.all(
        Array.from({ length: 5 }, async (_, index) =>
          candidate(await clients().connect(), path, `n${index}`, oracle),
        ),
      );
      for (const { election } of all) election.start();
      const rest = new Set(all);
      const leading = () => [...rest].filter(({ election }) => election.leads);
      while (rest.size > 0) {
        await until(`a leader of ${rest.size}`, () => leading().length > 0);
        assert.equal(leading().length, 1);
        const [leader] = leading();
        assert.ok(leader);
        const [first] = await leader.election.candidates();
        assert.deepEqual(first, { id: leader.election.id, epoch: leader.election.lease?.epoch });
        rest.delete(leader);
        await leader.election.close();
        assert.deepEqual([leader.ends, leader.election.leads], [['released'], false]);
      }
      assert.equal(oracle.entries, 5);
    });

    it('a leader whose process dies is followed when its session ends, not before', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink({ sessionTimeoutMs: endingSessionMs });
      const first = candidate(zk, path, 'first');
      first.election.start();
      await until('the first leader', () => first.election.leads);
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      const epoch = first.election.lease?.epoch ?? 0n;
      first.news.length = 0;
      await link.set({ ...passing, state: 'stall' });
      await until('the successor', () => second.election.leads);
      assert.equal(first.election.leads, false);
      assert.ok((second.election.lease?.epoch ?? 0n) > epoch);
      assert.equal(first.news[0], 'suspended');
      await link.set(passing);
      await until('the news', () => first.news.includes('deposed'));
      assert.deepEqual([first.news, first.ends], [['suspended', 'deposed'], ['lost']]);
      await Promise.all([first.election.close(), second.election.close()]);
    });

    it('a short cut suspends the leader and confirms it again under the same epoch', async () => {
      const { zk, link } = await clients().connectThroughLink();
      const { election, news } = candidate(zk, freshPath(), 'only');
      election.start();
      await until('the leader', () => election.leads);
      const { lease } = election;
      await link.set({ ...passing, state: 'cut' });
      await until('the suspension', () => !election.leads);
      assert.throws(() => lease?.assertHeld(), { code: 'zookeeper.lease_lost', message: /suspended/ });
      await link.set(passing);
      await until('the confirmation', () => election.leads);
      assert.equal(election.lease, lease);
      assert.deepEqual(news, ['elected', 'suspended', 'resumed']);
      await election.close();
    });

    it('a leader whose node is deleted is deposed at once and campaigns again', async () => {
      const zk = await clients().connect();
      const told = candidate(zk, freshPath(), 'only');
      told.election.start();
      await until('the leader', () => told.election.leads);
      const { lease } = told.election;
      await zk.delete(lease?.path ?? '');
      await until('the second term', () => told.election.leads && told.election.lease !== lease);
      assert.deepEqual([told.news, told.ends], [['elected', 'deposed', 'elected'], ['revoked']]);
      await told.election.close();
    });

    it("after a kill and a fast restart the old session's node is not taken for mine", async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink({ sessionTimeoutMs: 700 });
      const dead = candidate(zk, path, 'same');
      dead.election.start();
      await until('the first life', () => dead.election.leads);
      const before = dead.election.lease?.epoch ?? 0n;
      await link.set({ ...passing, state: 'stall' });
      const again = candidate(await clients().connect(), path, 'same');
      again.election.start();
      await until('the second life', () => again.election.leads);
      assert.ok((again.election.lease?.epoch ?? 0n) > before);
      assert.equal(dead.election.leads, false);
      await again.election.close();
    });

    it('a leader that yields goes behind the others', async () => {
      const path = freshPath();
      const first = candidate(await clients().connect(), path, 'first');
      first.election.start();
      await until('the leader', () => first.election.leads);
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      await until(
        'the standby',
        async () =>
          second.election.lease !== undefined ||
          name === 'simple' ||
          (await first.election.candidates()).length === 2,
      );
      await first.election.yield();
      await until('the next leader', () => first.election.leads || second.election.leads);
      if (name !== 'simple') assert.ok(second.election.leads);
      await Promise.all([first.election.close(), second.election.close()]);
    });

    it('a candidate that is closed while it waits leaves no node behind', async () => {
      const path = freshPath();
      const zk = await clients().connect();
      const first = candidate(zk, path, 'first');
      first.election.start();
      await until('the leader', () => first.election.leads);
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      await until(
        'the standby',
        async () => name === 'simple' || (await first.election.candidates()).length === 2,
      );
      await second.election.close();
      assert.deepEqual(second.news, []);
      await first.election.close();
      assert.deepEqual((await zk.getChildren(path)).names, []);
    });

    it('an election starts once, closes twice, and never starts again', async () => {
      const zk = await clients().connect();
      const { election } = candidate(zk, freshPath(), 'only');
      assert.equal(election.state, 'latent');
      assert.throws(() => election.start().start(), { code: 'zookeeper.misused' });
      await election.close();
      await election.close();
      assert.equal(election.state, 'closed');
      assert.throws(() => election.start(), { code: 'zookeeper.misused' });
    });
  });
}
