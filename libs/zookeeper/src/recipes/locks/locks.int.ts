import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { Oracle } from '../../testing/oracle.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import type { Lease } from '../leases/lease.ts';
import { Lock, ReadWriteLock } from './lock.ts';
import { Semaphore, type Permit } from './semaphore.ts';

const { clients, freshPath } = useZooKeeper();

const waiting = async (zk: ZooKeeper, path: string, count: number) =>
  until(`${count} tickets`, async () => (await zk.getChildren(path)).names.length === count);

/** What each kind of lock must do: the same hazards, another way to hold. */
interface Kind {
  name: string;
  make: (
    zk: ZooKeeper,
    path: string,
  ) => { acquire: Lock['acquire']; close(): Promise<void>; start(): unknown };
}
const exclusive: Kind[] = [
  { name: 'a lock', make: (zk, path) => new Lock(zk, path) },
  {
    name: 'the write side of a read/write lock',
    make: (zk, path) => {
      const lock = new ReadWriteLock(zk, path);
      return {
        acquire: async (options) => lock.write(options),
        close: async () => lock.close(),
        start: () => lock.start(),
      };
    },
  },
  { name: 'a semaphore of one', make: (zk, path) => new Semaphore(zk, { path, permits: 1 }) },
];

for (const { name, make } of exclusive) {
  describe(name, () => {
    it(`${name} has one holder at a time, whose epochs grow`, async () => {
      const oracle = new Oracle();
      const path = freshPath();
      const locks = await Promise.all(
        Array.from({ length: 4 }, async () => make(await clients.connect(), path)),
      );
      for (const lock of locks) lock.start();
      await Promise.all(
        locks.map(async (lock) => {
          for (let round = 0; round < 8; round += 1) {
            const lease = await lock.acquire();
            oracle.enter(lease);
            await turn();
            oracle.leave(lease);
            await lease.release();
          }
        }),
      );
      assert.equal(oracle.entries, 32);
    });

    it(`${name} whose holder dies is acquired by the next when the session ends`, async () => {
      const path = freshPath();
      const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
      const first = make(zk, path);
      first.start();
      const lost = await first.acquire();
      const second = make(await clients.connect(), path);
      second.start();
      await link.set({ ...passing, state: 'stall' });
      const next = await second.acquire();
      assert.equal(lost.held, false);
      assert.ok(next.epoch > lost.epoch);
      await link.set(passing);
      assert.equal(await lost.ended, 'lost');
      assert.ok(hasCode(lost.signal.reason, 'zookeeper.lease_lost'));
    });

    it(`${name} sends no requests while it waits`, async () => {
      const path = freshPath();
      const zk = await clients.connect();
      const [holder, waiter] = [make(zk, path), make(await clients.connect(), path)];
      holder.start();
      waiter.start();
      const lease = await holder.acquire();
      const turns = waiter.acquire();
      const waiterZk = clients.latest;
      let made = -1;
      // A poller would send requests while others are answered.
      await until('the waiter to rest', async () => {
        const before = made;
        made = waiterZk.requestsMade;
        for (let round = 0; round < 20; round += 1) await zk.sync(path);
        return made > 1 && made === before;
      });
      assert.equal(waiterZk.requestsMade, made);
      await lease.release();
      await turns;
    });

    it(`${name} leaves no ticket when its caller gives up waiting`, async () => {
      const path = freshPath();
      const zk = await clients.connect();
      const lock = make(zk, path);
      lock.start();
      const lease = await lock.acquire();
      await assert.rejects(lock.acquire({ timeoutMs: 50 }), { code: 'zookeeper.timeout', retriable: true });
      await assert.rejects(lock.acquire({ signal: AbortSignal.abort(new Error('enough')) }), {
        message: 'enough',
      });
      await lease.release();
      await (await lock.acquire({ timeoutMs: 20_000 })).release();
      await lock.close();
      await assert.rejects(lock.acquire(), { code: 'zookeeper.misused' });
    });

    it(`${name} that is closed releases what is held and ends what waits`, async () => {
      const path = freshPath();
      const lock = make(await clients.connect(), path);
      lock.start();
      const lease = await lock.acquire();
      const queued = assert.rejects(lock.acquire(), { code: 'zookeeper.closed' });
      await turn();
      await lock.close();
      await queued;
      assert.equal(await lease.ended, 'released');
      const other = make(await clients.connect(), path);
      other.start();
      await other.acquire({ timeoutMs: 20_000 });
    });

    it(`cuts while acquiring, holding and releasing ${name} leave no orphan`, async () => {
      const oracle = new Oracle();
      const path = freshPath();
      const linked = await Promise.all(
        Array.from({ length: 3 }, async () => clients.connectThroughLink({ sessionTimeoutMs: 2_000 })),
      );
      let running = 3;
      const work = linked.map(async ({ zk }) => {
        const lock = make(zk, path);
        lock.start();
        for (let round = 0; round < 5; round += 1) {
          const lease = await lock.acquire();
          if (lease.held) oracle.enter(lease);
          await turn();
          oracle.leave(lease);
          await lease.release();
        }
        running -= 1;
      });
      for (let turns = 0; running > 0; turns += 1) {
        const { link, zk } = linked[turns % 3] ?? assert.fail();
        await link.set({ ...passing, state: 'cut' });
        await until('the cut', () => zk.phase !== 'connected');
        await link.set(passing);
        await until('the reconnect', () => zk.phase === 'connected');
      }
      await Promise.all(work);
      const last = make(await clients.connect(), path);
      last.start();
      await last.acquire({ timeoutMs: 20_000 });
    });
  });
}

describe('a lock', () => {
  it('a lock is granted in the order of arrival', async () => {
    const zk = await clients.connect();
    const path = freshPath();
    const lock = new Lock(zk, path).start();
    const first = await lock.acquire();
    const order: number[] = [];
    const rest: Promise<unknown>[] = [];
    for (let index = 0; index < 5; index += 1) {
      rest.push(lock.use(async () => void order.push(index)));
      await waiting(zk, path, index + 2);
    }
    await first.release();
    await Promise.all(rest);
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  });

  it('a ticket that vanishes mid-queue wakes one waiter and lets none pass', async () => {
    const zk = await clients.connect();
    const path = freshPath();
    const lock = new Lock(zk, path).start();
    const holder = await lock.acquire();
    const leaving = new AbortController();
    const middle = assert.rejects(lock.acquire({ signal: leaving.signal }));
    await waiting(zk, path, 2);
    const last = lock.acquire();
    await waiting(zk, path, 3);
    leaving.abort();
    await middle;
    await waiting(zk, path, 2);
    assert.equal(lock.holds, 1);
    await holder.release();
    assert.ok((await last).held);
  });
});

describe('a read/write lock', () => {
  it('readers share, a writer is alone, and later readers wait for a waiting writer', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const lock = new ReadWriteLock(zk, path).start();
    const oracle = new Oracle();
    const enter = async (pending: Promise<Lease>, mode: 'read' | 'write') => {
      const lease = await pending;
      oracle.enter(lease, mode);
      return lease;
    };
    const readers = [await enter(lock.read(), 'read'), await enter(lock.read(), 'read')];
    const writer = enter(lock.write(), 'write');
    await waiting(zk, path, 3);
    let lateRead = false;
    const late = enter(lock.read(), 'read').then((lease) => ((lateRead = true), lease));
    await waiting(zk, path, 4);
    assert.equal(lateRead, false);
    for (const reader of readers) {
      oracle.leave(reader);
      await reader.release();
    }
    const writing = await writer;
    assert.equal(lateRead, false);
    oracle.leave(writing);
    await writing.release();
    oracle.leave(await late);
    await (await late).release();
    assert.equal(await lock.useRead(async ({ held }) => held), true);
    assert.equal(await lock.useWrite(async ({ held }) => held), true);
  });
});

describe('a semaphore', () => {
  it('a semaphore has one holder per slot, whose epochs grow, up to its permits', async () => {
    const path = freshPath();
    const inside = new Map<number, Permit>();
    const epochs = new Map<number, bigint>();
    let most = 0;
    const users = await Promise.all(
      Array.from({ length: 5 }, async () =>
        new Semaphore(await clients.connect(), { path, permits: 2 }).start(),
      ),
    );
    await Promise.all(
      users.map(async (semaphore) => {
        for (let round = 0; round < 6; round += 1) {
          const permit = await semaphore.acquire();
          assert.ok(!(inside.get(permit.slot)?.held ?? false), `slot ${permit.slot} is taken`);
          assert.ok(permit.epoch > (epochs.get(permit.slot) ?? 0n));
          inside.set(permit.slot, permit);
          epochs.set(permit.slot, permit.epoch);
          most = Math.max(most, [...inside.values()].filter(({ held }) => held).length);
          await turn();
          await permit.release();
        }
      }),
    );
    assert.ok(most <= 2 && epochs.size <= 2);
    const zk = await clients.connect();
    assert.throws(() => new Semaphore(zk, { path, permits: 0 }), RangeError);
  });
});
