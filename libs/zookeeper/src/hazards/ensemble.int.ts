/** Three servers, of which some die, freeze, or cannot be reached. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { passing } from '@thermomesh/links';
import { testEnsemble, type TestEnsemble } from '@thermomesh/servers';
import { LeaderElection } from '../recipes/leader-election.ts';
import type { Lease } from '../recipes/lease.ts';
import { Lock, ReadWriteLock } from '../recipes/lock.ts';
import { TestClients, testTickTimeMs, type LinkedClient } from '../testing/clients.ts';
import { oracleRounds } from '../testing/config.ts';
import { Oracle } from '../testing/oracle.ts';
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

/** Cuts, stalls and heals links, freezes and kills servers, until told to end. */
class Chaos {
  readonly #linked: LinkedClient[];
  #over = false;
  readonly #running: Promise<void>;
  turns = 0;

  constructor(linked: LinkedClient[]) {
    this.#linked = linked;
    this.#running = this.#run();
  }

  async end(): Promise<void> {
    this.#over = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const { link, zk } = this.#linked[this.turns % this.#linked.length] ?? assert.fail();
      const member = ensemble.members[this.turns % 3];
      switch (this.turns % 5) {
        case 0:
          await link.set({ ...passing, state: 'cut' });
          break;
        case 1:
          // Long enough for the session to be lost.
          await link.set({ ...passing, state: 'stall' });
          await until(() => zk.phase === 'lost', 'the loss');
          break;
        case 2:
          await member?.pause();
          break;
        case 3:
          await link.set({ ...passing, delayMs: 20 });
          break;
        case 4:
          await member?.kill();
          await member?.restart();
          await ensemble.untilServing(3);
          break;
      }
      await until(() => zk.phase !== 'connected' || this.#over || this.turns % 5 > 1, 'it to be felt');
      if (this.turns % 5 === 2) await until(async () => (await ensemble.leader()) !== undefined, 'a leader');
      await member?.resume();
      await link.set(passing);
      await zk.whenConnected({ timeoutMs: 20_000 });
      this.turns += 1;
    }
  }
}

describe('under kills, freezes and cut links', () => {
  it(`no two holders of a lock, a read/write lock or leadership overlap, in ${oracleRounds} rounds`, async (t) => {
    const linked = await Promise.all(
      [one, two, three, one, two, three].map(async (at) =>
        clients.connectThroughLink({ target: host(at), sessionTimeoutMs: 600 }),
      ),
    );
    const oracles = { lock: new Oracle(), readWrite: new Oracle(), leader: new Oracle() };
    const rounds = () => oracles.lock.entries + oracles.readWrite.entries + oracles.leader.entries;
    let over = false;
    const faults: unknown[] = [];
    const closing: (() => Promise<void>)[] = [];
    const hold = async (oracle: Oracle, lease: Lease, mode: 'read' | 'write') => {
      // Lost before it was used: that is no overlap, and nothing to enter with.
      if (lease.held) oracle.enter(lease, mode);
      for (let turns = 0; turns < 3; turns += 1) await turn();
      oracle.leave(lease);
      await lease.release();
    };
    const play = async ({ zk }: LinkedClient, index: number) => {
      const kind = index % 3;
      const readWrite = new ReadWriteLock(zk, '/oracle/read-write').start();
      const lock = new Lock(zk, '/oracle/lock').start();
      if (kind === 2) {
        const election = new LeaderElection(zk, {
          path: '/oracle/leader',
          id: String(index),
          listener: {
            elected: (lease) => void hold(oracles.leader, lease, 'write').catch(() => (over = true)),
          },
        }).start();
        closing.push(async () => election.close());
        return;
      }
      for (let round = 0; !over && rounds() < oracleRounds; round += 1) {
        if (kind === 0) await hold(oracles.lock, await lock.acquire(), 'write');
        else if (round % 3 === 0) await hold(oracles.readWrite, await readWrite.write(), 'write');
        else await hold(oracles.readWrite, await readWrite.read(), 'read');
      }
    };
    const work = linked.map(async (each, index) =>
      play(each, index).catch((error: unknown) => faults.push(error)),
    );
    const chaos = new Chaos(linked);
    try {
      await until(() => faults.length > 0 || rounds() >= oracleRounds, `${oracleRounds} rounds`, 600_000);
    } finally {
      over = true;
      await chaos.end();
      await Promise.all(closing.map(async (close) => close()));
    }
    await Promise.all(work);
    assert.deepEqual(faults, []);
    t.diagnostic(`${rounds()} rounds, ${chaos.turns} faults`);
    assert.ok(rounds() >= oracleRounds && Object.values(oracles).every(({ entries }) => entries > 0));
  });
});
