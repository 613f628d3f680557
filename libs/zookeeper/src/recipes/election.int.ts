import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { electionConformance } from '../conformance/election.ts';
import { TestClients, testServers } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import { LeaderElection, SimpleElection } from './leader-election.ts';

let server: TestEnsemble;
let clients: TestClients;
before(async () => {
  server = await testZooKeeper(testServers);
  clients = new TestClients(server.hosts);
});
after(async () => server.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

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
  it('is seen by everybody, and two elections on one connection do not mix', async () => {
    const zk = await clients.connect();
    const [red, blue] = ['/standby/red', '/standby/blue'].map((path) =>
      Array.from({ length: 3 }, (_, index) => new LeaderElection(zk, { path, id: `${path.at(-1)}${index}` })),
    );
    assert.ok(red && blue);
    for (let index = 0; index < 3; index += 1) {
      for (const elections of [red, blue]) {
        elections[index]?.start();
        await until(async () => (await elections[0]?.standings())?.length === index + 1, 'the candidate');
      }
    }
    assert.deepEqual(
      (await red[2]?.standings())?.map(({ id }) => id),
      ['d0', 'd1', 'd2'],
    );
    await red[1]?.close();
    await red[0]?.close();
    await until(() => red[2]?.leads === true, 'the last');
    assert.deepEqual(
      (await blue[0]?.standings())?.map(({ id }) => id),
      ['e0', 'e1', 'e2'],
    );
    assert.ok(blue[0]?.leads);
    await Promise.all([...red, ...blue].map(async (election) => election.close()));
  });
});

describe('the herd', () => {
  /** How often candidates were woken in all until each of them has led once. */
  async function wakeUps(
    create: (index: number) => Promise<LeaderElection | SimpleElection>,
  ): Promise<number> {
    const all = await Promise.all(Array.from({ length: 10 }, async (_, index) => create(index)));
    for (const election of all) election.start();
    const rest = new Set(all);
    while (rest.size > 0) {
      await until(() => [...rest].some(({ leads }) => leads), 'a leader');
      // Everybody waits again before the next one goes: else who is late is not woken.
      const waiting = () => [...rest].filter(({ leads }) => !leads).every(({ resting }) => resting);
      await until(waiting, 'the others to wait');
      const leader = [...rest].find(({ leads }) => leads);
      assert.ok(leader);
      rest.delete(leader);
      await leader.close();
    }
    return all.reduce((sum, election) => sum + election.wakeUps, 0);
  }

  it('wakes one candidate per change of leader, where the simple election wakes all of them', async () => {
    const zk = await clients.connect();
    const create =
      (Kind: typeof LeaderElection | typeof SimpleElection, path: string) => async (index: number) =>
        new Kind(zk, { path, id: `n${index}` });
    assert.equal(await wakeUps(create(LeaderElection, '/herd/free')), 9);
    assert.equal(await wakeUps(create(SimpleElection, '/herd/simple')), 9 + 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1);
  });
});
