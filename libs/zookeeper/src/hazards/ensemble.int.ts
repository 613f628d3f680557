/** Three servers, of which some die, freeze, or cannot be reached. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { testEnsemble, type TestEnsemble } from '@thermomesh/servers';
import { LeaderElection } from '../recipes/leader-election.ts';
import { Lock } from '../recipes/lock.ts';
import { TestClients, testTickTimeMs } from '../testing/clients.ts';
import { until } from '../testing/until.ts';

let ensemble: TestEnsemble;
let clients: TestClients;
before(async () => {
  ensemble = await testEnsemble({ tickTimeMs: testTickTimeMs });
  clients = new TestClients(ensemble.hosts);
});
after(async () => ensemble.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

const [one, two, three] = [0, 1, 2];
const host = (index: number) => ensemble.members[index]?.host ?? '';

describe('what ZooKeeper promises', () => {
  it('after a sync nothing older is read than what others had written, on whatever server', async () => {
    const writer = await clients.connect({ hosts: host(one) });
    const readers = await Promise.all([two, three].map(async (at) => clients.connect({ hosts: host(at) })));
    await writer.create('/linear');
    for (let version = 1; version <= 40; version += 1) {
      await writer.setData('/linear', Buffer.from(String(version)));
      for (const reader of readers) {
        const [, { stat }] = await Promise.all([reader.sync('/linear'), reader.getData('/linear')]);
        assert.equal(stat.version, version);
      }
    }
  });

  it('the writes of a client happen in its order, and of two that write one version one wins', async () => {
    const [first, second] = await Promise.all([
      clients.connect({ hosts: host(one) }),
      clients.connect({ hosts: host(two) }),
    ]);
    await first.create('/order');
    const stats = await Promise.all(
      Array.from({ length: 50 }, async () => first.setData('/order', Buffer.from('x'))),
    );
    assert.deepEqual(
      stats.map(({ version }) => version),
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    await second.sync('/order');
    const results = await Promise.allSettled(
      [first, second].map(async (zk) => zk.setData('/order', Buffer.from('y'), 50)),
    );
    assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  });
});

describe('an ensemble of three', () => {
  it('of which one dies works on: sessions move with their locks and watches', async () => {
    const zk = await clients.connect();
    const lease = await new Lock(zk, '/moving').start().acquire();
    await using watch = zk.watchData('/watched');
    await watch.first();
    const victim = await ensemble.leader();
    assert.ok(victim);
    await victim.kill();
    const other = await clients.connect();
    await other.retry(async () => other.create('/watched', Buffer.from('new')), { timeoutMs: 20_000 });
    await until(
      () => watch.current?.value?.data.toString() === 'new' && lease.held,
      'the watch and the lock',
    );
    await victim.restart();
    await ensemble.untilServing(3);
  });

  it('a server that dies right after a create leaves one ticket, and one leader', async () => {
    for (const at of [one, two, three]) {
      const path = `/right-after-${at}`;
      const zk = await clients.connect({ hosts: [host(at), host((at + 1) % 3)].join() });
      await zk.ensurePath(path);
      const election = new LeaderElection(zk, { path, id: 'only' }).start();
      await ensemble.members[at]?.kill();
      await until(() => election.leads, 'the leader', 20_000);
      await ensemble.members[at]?.restart();
      await ensemble.untilServing(3);
      await zk.sync(path);
      assert.equal((await zk.getChildren(path)).names.length, 1);
      await election.close();
    }
  });

  it('of which two die halts safely, says so, and heals', async () => {
    const zk = await clients.connect({ sessionTimeoutMs: 600 });
    const election = new LeaderElection(zk, { path: '/halting', id: 'only' }).start();
    await until(() => election.leads, 'the leader');
    const { lease } = election;
    await Promise.all([one, two].map(async (at) => ensemble.members[at]?.kill()));
    await until(() => zk.phase === 'lost', 'the word');
    assert.deepEqual([election.leads, lease?.held], [false, false]);
    await assert.rejects(zk.setData('/halting', Buffer.alloc(0)), {
      code: 'zookeeper.not_connected',
      applied: 'no',
    });
    await Promise.all([one, two].map(async (at) => ensemble.members[at]?.restart()));
    await ensemble.untilServing(3);
    await until(() => election.leads, 'the leader again', 20_000);
    assert.ok((election.lease?.epoch ?? 0n) > (lease?.epoch ?? 0n));
    await election.close();
  });

  it('a client does not go back in time when its next session meets a server that is behind', async () => {
    const { zk, link } = await clients.connectThroughLink({ target: host(one), sessionTimeoutMs: 500 });
    await zk.create('/ahead', Buffer.from('seen'));
    await link.set({ ...passing, state: 'stall' });
    await until(() => zk.phase === 'lost', 'the loss');
    await link.set(passing);
    await zk.whenConnected({ timeoutMs: 20_000 });
    assert.equal((await zk.getData('/ahead')).data.toString(), 'seen');
  });
});
