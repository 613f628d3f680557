/** What every election has to do, whatever its inside. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import type { ZooKeeper } from '../client/zookeeper.ts';
import type { LeaseEnd, Lease } from '../recipes/lease.ts';
import type { LeaderElection, ElectionOptions, SimpleElection } from '../recipes/leader-election.ts';
import { endingSessionMs, type TestClients } from '../testing/clients.ts';
import { Oracle } from '../testing/oracle.ts';
import { until } from '../testing/until.ts';

type AnyElection = LeaderElection | SimpleElection;
export type CreateElection = (zk: ZooKeeper, options: ElectionOptions) => AnyElection;

interface Told {
  election: AnyElection;
  news: string[];
  ends: LeaseEnd[];
}

let elections = 0;

/** @param clients of the suite's server; called when a test runs */
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
    it('elects one of many, under an epoch that grows from leader to leader, until nobody is left', async () => {
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
        await until(() => leading().length > 0, `a leader of ${rest.size}`);
        assert.equal(leading().length, 1);
        const [leader] = leading();
        assert.ok(leader);
        const [first] = await leader.election.standings();
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
      await until(() => first.election.leads, 'the first leader');
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      const epoch = first.election.lease?.epoch ?? 0n;
      first.news.length = 0;
      await link.set({ ...passing, state: 'stall' });
      await until(() => second.election.leads, 'the successor');
      assert.equal(first.election.leads, false);
      assert.ok((second.election.lease?.epoch ?? 0n) > epoch);
      assert.equal(first.news[0], 'suspended');
      await link.set(passing);
      await until(() => first.news.includes('deposed'), 'the news');
      assert.deepEqual([first.news, first.ends], [['suspended', 'deposed'], ['lost']]);
      await Promise.all([first.election.close(), second.election.close()]);
    });

    it('a short cut suspends the leader and confirms it again under the same epoch', async () => {
      const { zk, link } = await clients().connectThroughLink();
      const { election, news } = candidate(zk, freshPath(), 'only');
      election.start();
      await until(() => election.leads, 'the leader');
      const { lease } = election;
      await link.set({ ...passing, state: 'cut' });
      await until(() => !election.leads, 'the suspension');
      assert.throws(() => lease?.assertHeld(), { code: 'zookeeper.lease_lost', message: /suspended/ });
      await link.set(passing);
      await until(() => election.leads, 'the confirmation');
      assert.equal(election.lease, lease);
      assert.deepEqual(news, ['elected', 'suspended', 'resumed']);
      await election.close();
    });

    it('a leader whose node somebody deletes is deposed at once, and stands again', async () => {
      const zk = await clients().connect();
      const told = candidate(zk, freshPath(), 'only');
      told.election.start();
      await until(() => told.election.leads, 'the leader');
      const { lease } = told.election;
      await zk.delete(lease?.path ?? '');
      await until(() => told.election.leads && told.election.lease !== lease, 'the second term');
      assert.deepEqual([told.news, told.ends], [['elected', 'deposed', 'elected'], ['revoked']]);
      await told.election.close();
    });

    it('a node of a session before, after a kill and a fast restart, is not taken for mine', async () => {
      const path = freshPath();
      const { zk, link } = await clients().connectThroughLink({ sessionTimeoutMs: 700 });
      const dead = candidate(zk, path, 'same');
      dead.election.start();
      await until(() => dead.election.leads, 'the first life');
      const before = dead.election.lease?.epoch ?? 0n;
      await link.set({ ...passing, state: 'stall' });
      const again = candidate(await clients().connect(), path, 'same');
      again.election.start();
      await until(() => again.election.leads, 'the second life');
      assert.ok((again.election.lease?.epoch ?? 0n) > before);
      assert.equal(dead.election.leads, false);
      await again.election.close();
    });

    it('a leader that yields goes behind the others', async () => {
      const path = freshPath();
      const first = candidate(await clients().connect(), path, 'first');
      first.election.start();
      await until(() => first.election.leads, 'the leader');
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      await until(
        async () =>
          second.election.lease !== undefined ||
          name === 'simple' ||
          (await first.election.standings()).length === 2,
        'the standby',
      );
      await first.election.yield();
      await until(() => first.election.leads || second.election.leads, 'the next leader');
      if (name !== 'simple') assert.ok(second.election.leads);
      await Promise.all([first.election.close(), second.election.close()]);
    });

    it('a candidate that is closed while it waits leaves nothing behind', async () => {
      const path = freshPath();
      const zk = await clients().connect();
      const first = candidate(zk, path, 'first');
      first.election.start();
      await until(() => first.election.leads, 'the leader');
      const second = candidate(await clients().connect(), path, 'second');
      second.election.start();
      await until(
        async () => name === 'simple' || (await first.election.standings()).length === 2,
        'the standby',
      );
      await second.election.close();
      assert.deepEqual(second.news, []);
      await first.election.close();
      assert.deepEqual((await zk.getChildren(path)).names, []);
    });

    it('has a life: latent, started, closed', async () => {
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
