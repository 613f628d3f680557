import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { electionConformance } from '../../conformance/election.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { LeaderElection, SimpleElection } from './leader-election.ts';
import { PartitionLeadership } from './partition-leadership.ts';

const { clients } = useZooKeeper();

electionConformance(
  'herd-free',
  (zk, options) => new LeaderElection(zk, options),
  () => clients,
);
electionConformance(
  'simple',
  (zk, options) => new SimpleElection(zk, options),
  () => clients,
);

describe('the order of the standby', () => {
  it('every candidate sees the order; two elections on one connection do not mix', async () => {
    const zk = await clients.connect();
    const [red, blue] = ['/standby/red', '/standby/blue'].map((path) =>
      Array.from({ length: 3 }, (_, index) => new LeaderElection(zk, { path, id: `${path.at(-1)}${index}` })),
    );
    assert.ok(red && blue);
    for (let index = 0; index < 3; index += 1) {
      for (const elections of [red, blue]) {
        elections[index]?.start();
        await until('the candidate', async () => (await elections[0]?.candidates())?.length === index + 1);
      }
    }
    assert.deepEqual(
      (await red[2]?.candidates())?.map(({ id }) => id),
      ['d0', 'd1', 'd2'],
    );
    await red[1]?.close();
    await red[0]?.close();
    await until('the last', () => red[2]?.leads === true);
    assert.deepEqual(
      (await blue[0]?.candidates())?.map(({ id }) => id),
      ['e0', 'e1', 'e2'],
    );
    assert.ok(blue[0]?.leads);
    await Promise.all([...red, ...blue].map(async (election) => election.close()));
  });
});

describe('a deleted tree', () => {
  it('row 4: candidates and partition leaders come back after their nodes were deleted', async () => {
    const zk = await clients.connect();
    const root = '/deleted-tree';
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    const ids = ['a', 'b', 'c'];
    const elections = ids.map(
      (id) => new LeaderElection(zk, { path: `${root}/coordinator`, id, listener: { failed } }),
    );
    const members = ids.map(
      (id) =>
        new PartitionLeadership(zk, { path: `${root}/partitions`, id, partitions: 4, listener: { failed } }),
    );
    const all = [...elections, ...members];
    for (const recipe of all) recipe.start();
    const whole = () =>
      elections.filter(({ leads }) => leads).length === 1 &&
      members.flatMap(({ leading }) => leading).length === 4 &&
      members.every(({ leading }) => leading.length > 0);
    await until('all roles', whole);
    const before = elections.find(({ leads }) => leads)?.lease?.epoch ?? 0n;
    await deleteAll(zk, root);
    await until('a later leader', () => elections.some(({ leads, lease }) => leads && lease!.epoch > before));
    await until('all roles again', whole);
    await until('all candidates', async () => (await elections[0]?.candidates())?.length === 3);
    assert.deepEqual(failures, []);
    await Promise.all(all.map(async (recipe) => recipe.close()));
  });
});

/** Deletes a tree from the leaves, as an operator does; its owners may make it again meanwhile. */
async function deleteAll(zk: ZooKeeper, path: string): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    try {
      const { names } = await zk.getChildren(path);
      for (const name of names) await deleteAll(zk, `${path}/${name}`);
      return await zk.delete(path);
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return;
      if (!hasCode(error, 'zookeeper.not_empty')) throw error;
    }
  }
}

describe('the herd', () => {
  /** Counts how often candidates were woken until each of them has led once. */
  async function wakeUps(
    create: (index: number) => Promise<LeaderElection | SimpleElection>,
  ): Promise<number> {
    const all = await Promise.all(Array.from({ length: 10 }, async (_, index) => create(index)));
    for (const election of all) election.start();
    const rest = new Set(all);
    while (rest.size > 0) {
      await until('a leader', () => [...rest].some(({ leads }) => leads));
      // All wait again before the next one resigns: a late candidate would not be woken.
      const waiting = () => [...rest].filter(({ leads }) => !leads).every(({ resting }) => resting);
      await until('the others to wait', waiting);
      const leader = [...rest].find(({ leads }) => leads);
      assert.ok(leader);
      rest.delete(leader);
      await leader.close();
    }
    return all.reduce((sum, election) => sum + election.wakeUps, 0);
  }

  it('a change of leader wakes one candidate; in the simple election it wakes all', async () => {
    const zk = await clients.connect();
    const create =
      (Kind: typeof LeaderElection | typeof SimpleElection, path: string) => async (index: number) =>
        new Kind(zk, { path, id: `n${index}` });
    assert.equal(await wakeUps(create(LeaderElection, '/herd/free')), 9);
    assert.equal(await wakeUps(create(SimpleElection, '/herd/simple')), 9 + 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1);
  });
});
