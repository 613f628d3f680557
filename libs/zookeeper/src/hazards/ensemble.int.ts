/** Three servers, of which some die, freeze, or cannot be reached. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { testEnsemble, type TestEnsemble } from '@thermomesh/servers';
import { hazards } from '../conformance/hazards.ts';
import { lostAnswers } from '../conformance/lost-answers.ts';
import { LeaderElection } from '../recipes/leader-election.ts';
import { Lock } from '../recipes/lock.ts';
import { TestClients, testServers } from '../testing/clients.ts';
import { leaderOf, revive } from '../testing/looks.ts';
import { until } from '../testing/until.ts';

let ensemble: TestEnsemble;
let clients: TestClients;
before(async () => {
  ensemble = await testEnsemble(testServers);
  clients = new TestClients(ensemble.hosts);
});
after(async () => ensemble.remove());
beforeEach(async () => revive(ensemble));
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
    await zk.create('/watched');
    await using watch = zk.watchData('/watched');
    await watch.first();
    const victim = await leaderOf(ensemble);
    await victim.kill();
    const other = await clients.connect();
    await other.retry(async () => other.setData('/watched', Buffer.from('new')), { timeoutMs: 20_000 });
    await until(
      () => watch.current?.value?.data.toString() === 'new' && lease.held,
      'the watch and the lock',
    );
    await victim.restart();
    await ensemble.untilServing(3);
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
    await until(() => election.leads, 'the leader again');
    assert.ok((election.lease?.epoch ?? 0n) > (lease?.epoch ?? 0n));
    await election.close();
  });
});

lostAnswers('three servers', () => clients);
hazards('three servers', () => ({ ensemble, clients }));
