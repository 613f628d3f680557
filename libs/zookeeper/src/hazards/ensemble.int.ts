/** Three servers, some of which die, freeze, or cannot be reached. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { hazards } from '../conformance/hazards.ts';
import { lostAnswers } from '../conformance/lost-answers.ts';
import { LeaderElection } from '../recipes/election/leader-election.ts';
import { Lock } from '../recipes/locks/lock.ts';
import { leaderOf } from '../testing/looks.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';

const { clients, ensemble } = useZooKeeper({ servers: 3, reviveServers: true });

const [one, two, three] = [0, 1, 2];
const host = (index: number) => ensemble().members[index]?.host ?? '';

describe('what ZooKeeper promises', () => {
  it('a read after a sync is not older than what others had written, on any server', async () => {
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

  it('the writes of a client keep their order; of two for one version, one wins', async () => {
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
  it('an ensemble of three survives one death: sessions move with locks and watches', async () => {
    const zk = await clients.connect();
    const lease = await new Lock(zk, '/moving').start().acquire();
    await zk.create('/watched');
    await using watch = zk.watchData('/watched');
    await watch.first();
    const victim = await leaderOf(ensemble());
    await victim.kill();
    const other = await clients.connect();
    await other.retry(async () => other.setData('/watched', Buffer.from('new')), { timeoutMs: 20_000 });
    await until(
      'the watch and the lock',
      () => watch.current?.value?.data.toString() === 'new' && lease.held,
    );
    await victim.restart();
    await ensemble().untilServing(3);
  });

  it('an ensemble of three halts safely after two deaths, reports it, and heals', async () => {
    const zk = await clients.connect({ sessionTimeoutMs: 600 });
    const election = new LeaderElection(zk, { path: '/halting', id: 'only' }).start();
    await until('the leader', () => election.leads);
    const { lease } = election;
    await Promise.all([one, two].map(async (at) => ensemble().members[at]?.kill()));
    await until('the word', () => zk.phase === 'lost');
    assert.deepEqual([election.leads, lease?.held], [false, false]);
    await assert.rejects(zk.setData('/halting', Buffer.alloc(0)), {
      code: 'zookeeper.not_connected',
      applied: 'no',
    });
    await Promise.all([one, two].map(async (at) => ensemble().members[at]?.restart()));
    await ensemble().untilServing(3);
    await until('the leader again', () => election.leads);
    assert.ok((election.lease?.epoch ?? 0n) > (lease?.epoch ?? 0n));
    await election.close();
  });
});

lostAnswers('three servers', () => clients);
hazards('three servers', () => ({ ensemble: ensemble(), clients }));
