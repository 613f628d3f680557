/** Barriers and rendezvous where answers are lost, parties die, and sessions end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import { Barrier } from './barrier.ts';
import { DoubleBarrier } from './double-barrier.ts';
import { Rendezvous } from './rendezvous.ts';

const { clients, freshPath } = useZooKeeper();

const timeoutMs = 20_000;

describe('a barrier', () => {
  it('a gate lifted and set again during a cut lets the waiter pass, not later ones', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const [waiter, owner] = [
      new Barrier(zk, path).start(),
      new Barrier(await clients.connect(), path).start(),
    ];
    await owner.set();
    let asked = 0;
    const getData = zk.getData.bind(zk);
    zk.getData = async (...args) => getData(...args).finally(() => (asked += 1));
    const early = waiter.wait({ timeoutMs });
    await until('the waiter', () => asked === 1);
    await link.set({ ...passing, state: 'cut' });
    await until('the cut', () => zk.phase === 'suspended');
    await owner.lift();
    await owner.set();
    await link.set(passing);
    await early;
    await assert.rejects(waiter.wait({ timeoutMs: 30 }), { code: 'zookeeper.timeout', retriable: true });
  });

  it('a gate stays down when its setter dies; waiters survive a lost session', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const dead = await clients.connect();
    await new Barrier(dead, path).start().set();
    await dead.close();
    let passed = false;
    const waiting = new Barrier(zk, path)
      .start()
      .wait({ timeoutMs })
      .then(() => (passed = true));
    await link.set({ ...passing, state: 'stall' });
    await until('the loss', () => phases.includes('lost'));
    await link.set(passing);
    await zk.whenConnected();
    assert.equal(passed, false);
    const other = new Barrier(await clients.connect(), path).start();
    await other.lift();
    await waiting;
    await other.wait({ timeoutMs });
  });

  it('a lift whose answer is lost does not lift what was set after it', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const [cut, other] = [new Barrier(zk, path).start(), new Barrier(await clients.connect(), path).start()];
    await other.set();
    const setData = zk.setData.bind(zk);
    zk.setData = async (...args) => {
      zk.setData = setData;
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const answer = setData(...args);
      answer.catch(() => undefined);
      await other.wait({ timeoutMs });
      await other.set();
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase === 'suspended');
      await link.set(passing);
      return answer;
    };
    await cut.lift({ timeoutMs });
    await assert.rejects(other.wait({ timeoutMs: 30 }), { code: 'zookeeper.timeout' });
  });
});

describe('a double barrier', () => {
  const party = async (path: string, id: string, parties = 2) =>
    new DoubleBarrier(await clients.connect(), { path, id, parties }).start();
  const present = async (path: string, count: number) =>
    until(
      `${count} parties`,
      async () => (await clients.latest.exists(`${path}/parties`))?.children === count,
    );

  it('in each round, no party begins before all came nor leaves before all are done', async () => {
    const path = freshPath();
    const parties = await Promise.all(['a', 'b', 'c'].map(async (id) => party(path, id, 3)));
    let entering = 0;
    let leaving = 0;
    await Promise.all(
      parties.map(async (each, index) => {
        for (let round = 1; round <= 4; round += 1) {
          for (let turns = 0; turns < index * 3; turns += 1) await turn();
          entering += 1;
          const stay = await each.enter({ timeoutMs });
          assert.equal(stay.round, round);
          assert.ok(stay.lease.held && entering >= 3 * round);
          leaving += 1;
          assert.deepEqual(await each.leave({ timeoutMs }), { round, lost: [] });
          assert.ok(leaving >= 3 * round);
        }
      }),
    );
  });

  it('a late party does not enter a running round, and begins the next one', async () => {
    const path = freshPath();
    const [a, b, late] = [await party(path, 'a'), await party(path, 'b'), await party(path, 'late')];
    await Promise.all([a.enter({ timeoutMs }), b.enter({ timeoutMs })]);
    await assert.rejects(late.enter({ timeoutMs: 50 }), {
      code: 'zookeeper.timeout',
      message: /no 2 parties came/,
    });
    await present(path, 2);
    const waiting = late.enter({ timeoutMs });
    await present(path, 3);
    await Promise.all([a.leave({ timeoutMs }), b.leave({ timeoutMs })]);
    assert.equal((await a.enter({ timeoutMs })).round, 2);
    assert.equal((await waiting).round, 2);
    await assert.rejects(a.enter(), { code: 'zookeeper.misused' });
    await assert.rejects(b.leave(), { code: 'zookeeper.misused' });
    const other = new DoubleBarrier(clients.latest, { path, parties: 5 }).start();
    await assert.rejects(other.enter({ timeoutMs }), {
      code: 'zookeeper.misused',
      message: /needs 2 parties, not 5/,
    });
  });

  it('a party that crashes before the round begins is not counted', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const dead = new DoubleBarrier(zk, { path, id: 'dead', parties: 2 }).start();
    const entering = dead.enter({ timeoutMs });
    const a = await party(path, 'a');
    await present(path, 1);
    await link.set({ ...passing, state: 'stall' });
    await present(path, 0);
    let inside = false;
    const first = a.enter({ timeoutMs }).then(() => (inside = true));
    await present(path, 1);
    await clients.latest.sync(path);
    assert.equal(inside, false);
    // It comes back in another session, at the end of the queue: the two make a round.
    await link.set(passing);
    await Promise.all([first, entering]);
  });

  it('a party that dies while the last one counts it does not begin the round', async () => {
    const path = freshPath();
    const dying = await clients.connect();
    // Only the last party begins the round: the write of this one would come too late.
    const died = Promise.withResolvers<undefined>();
    const begins = dying.multi.bind(dying);
    dying.multi = async (operations) => died.promise.then(async () => begins(operations));
    const dead = new DoubleBarrier(dying, { path, id: 'dead', parties: 2 }).start();
    const closed = assert.rejects(dead.enter(), { code: 'zookeeper.closed' });
    const zk = await clients.connect();
    await present(path, 1);
    const multi = zk.multi.bind(zk);
    const counted = Promise.withResolvers<undefined>();
    zk.multi = async (operations) => {
      zk.multi = multi;
      await dying.close();
      died.resolve(undefined);
      return multi(operations).finally(() => counted.resolve(undefined));
    };
    const last = new DoubleBarrier(zk, { path, id: 'last', parties: 2 }).start();
    let inside = false;
    const entering = last.enter({ timeoutMs }).then(() => (inside = true));
    await closed;
    await counted.promise;
    for (let round = 0; round < 10; round += 1) await zk.sync(path);
    assert.equal(inside, false);
    const next = await party(path, 'next');
    await Promise.all([entering, next.enter({ timeoutMs })]);
  });

  it('a party whose seat is deleted takes another one', async () => {
    const path = freshPath();
    const [a, b] = [await party(path, 'a'), await party(path, 'b')];
    const entering = a.enter({ timeoutMs });
    await present(path, 1);
    const { names } = await clients.latest.getChildren(`${path}/parties`);
    await clients.latest.delete(`${path}/parties/${names[0] ?? ''}`);
    await Promise.all([entering, b.enter({ timeoutMs })]);
  });

  it('a party that crashes inside delays no other, is named to them, and knows it', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const dead = new DoubleBarrier(zk, { path, id: 'dead', parties: 3 }).start();
    const [a, b] = [await party(path, 'a', 3), await party(path, 'b', 3)];
    const [stay] = await Promise.all([dead, a, b].map(async (each) => each.enter({ timeoutMs })));
    const leaving = [a.leave({ timeoutMs }), b.leave({ timeoutMs })];
    await link.set({ ...passing, state: 'stall' });
    assert.deepEqual(await Promise.all(leaving), [
      { round: 1, lost: ['dead'] },
      { round: 1, lost: ['dead'] },
    ]);
    assert.equal(stay?.lease.held, false);
    await link.set(passing);
    await assert.rejects(dead.leave({ timeoutMs }), { code: 'zookeeper.lease_lost' });
    const again = await Promise.all([dead, a, b].map(async (each) => each.enter({ timeoutMs })));
    assert.deepEqual(
      again.map(({ round }) => round),
      [2, 2, 2],
    );
  });

  it('a slow party learns how its own round ended while others wait for the next', async () => {
    const path = freshPath();
    const [a, b, c] = [await party(path, 'a'), await party(path, 'b'), await party(path, 'c')];
    await Promise.all([a.enter({ timeoutMs }), b.enter({ timeoutMs })]);
    const next = c.enter({ timeoutMs });
    await assert.rejects(a.leave({ timeoutMs: 50 }), { code: 'zookeeper.timeout' });
    await b.leave({ timeoutMs });
    const following = b.enter({ timeoutMs });
    let begun = false;
    void following.then(() => (begun = true));
    await present(path, 3);
    assert.equal(begun, false);
    assert.deepEqual(await a.leave({ timeoutMs }), { round: 1, lost: [] });
    assert.deepEqual([(await next).round, (await following).round], [2, 2]);
  });

  it('closing a double barrier gives up the seat', async () => {
    const path = freshPath();
    const a = await party(path, 'a');
    const entering = assert.rejects(a.enter(), { code: 'zookeeper.closed' });
    await present(path, 1);
    await a.close();
    await entering;
    await present(path, 0);
    assert.throws(() => new DoubleBarrier(clients.latest, { path, parties: 0 }), RangeError);
  });
});

describe('a rendezvous', () => {
  interface Address {
    port: number;
  }
  const parse = (document: unknown): Address => {
    const { port } = (document ?? {}) as Partial<Address>;
    if (typeof port !== 'number') throw new TypeError('port is no number');
    return { port };
  };

  it('a rendezvous succeeds in any order of start, and brings the addresses', async () => {
    const cast = [
      { role: 'master', id: 'm', needs: { worker: 2 } },
      { role: 'worker', id: 'w1', needs: { master: 1 } },
      { role: 'worker', id: 'w2', needs: { master: 1, worker: 2 } },
    ];
    for (const order of [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ]) {
      const path = freshPath();
      const meetings: Promise<unknown>[] = [];
      for (const at of order) {
        const { role, id, needs } = cast[at] ?? assert.fail();
        const self = { id, role, document: { port: at } };
        const rendezvous = new Rendezvous<Address>(await clients.connect(), { path, self, parse }).start();
        const meeting = rendezvous.meet(needs, { timeoutMs }).then((met) =>
          Object.keys(needs).map((each) =>
            met
              .get(each)
              ?.map(({ document }) => document.port)
              .toSorted(),
          ),
        );
        meetings[at] = meeting;
        await until('it to be there', () => rendezvous.parties.some((party) => party.id === id));
      }
      assert.deepEqual(await Promise.all(meetings), [[[1, 2]], [[0]], [[0], [1, 2]]]);
    }
  });

  it('a rendezvous names missing parties, forgets dead ones, and sees new addresses', async () => {
    const path = freshPath();
    const make = (zk: typeof clients.latest, id: string, role: string, port: number) =>
      new Rendezvous<Address>(zk, { path, self: { id, role, document: { port } }, parse }).start();
    const a = make(await clients.connect(), 'a', 'gateway', 1);
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const dead = make(zk, 'b', 'billing', 2);
    await a.meet({ billing: 1 }, { timeoutMs });
    await assert.rejects(a.meet({ billing: 2, gateway: 1 }, { timeoutMs: 50 }), {
      code: 'zookeeper.timeout',
      message: /missing billing: 1 of 2 within/,
    });
    await link.set({ ...passing, state: 'stall' });
    await until('the death', () => a.parties.length === 1);
    const meeting = a.meet({ billing: 1 }, { timeoutMs });
    const again = make(await clients.connect(), 'b', 'billing', 3);
    assert.deepEqual(
      (await meeting).get('billing')?.map(({ document }) => document.port),
      [3],
    );
    const closed = assert.rejects(a.meet({ sales: 1 }), { code: 'zookeeper.closed' });
    await a.close();
    await closed;
    await again.close();
    await link.set(passing);
    await dead.close();
  });
});
