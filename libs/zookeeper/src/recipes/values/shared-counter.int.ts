import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { loseNextMultiAnswer } from '../../testing/lose-answer.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import { SharedCounter } from './shared-counter.ts';

const { clients, freshPath } = useZooKeeper();
const timeoutMs = 20_000;

describe('a shared counter', () => {
  it('the sum is exact, whatever connections are cut while several clients add', async (t) => {
    const path = freshPath();
    const linked = await Promise.all(
      [1, 2, 3].map(async () => clients.connectThroughLink({ sessionTimeoutMs: 600 })),
    );
    let running = linked.length;
    const seen = new Set<bigint>();
    const counters = linked.map(({ zk }) => new SharedCounter(zk, { path, initial: 1_000n }).start());
    const work = counters.map(async (counter) => {
      for (let count = 0; count < 40; count += 1) {
        const { value } = await counter.add(1n, { timeoutMs });
        assert.equal(seen.has(value), false, `${value} was reached twice`);
        seen.add(value);
      }
      running -= 1;
    });
    let cuts = 0;
    for (; running > 0; cuts += 1) {
      const { link, zk } = linked[cuts % 3] ?? assert.fail();
      if (cuts % 2 === 0) await link.set({ ...passing, state: 'stall', direction: 'backward' });
      // The server must have the request, and its answer must be lost.
      await until('a request', () => zk.requestsInFlight > 0 || running === 0);
      await turn();
      await link.set({ ...passing, state: 'cut' });
      await until('the cut', () => zk.phase !== 'connected');
      await link.set(passing);
      await until('the reconnect', () => zk.phase === 'connected');
    }
    await Promise.all(work);
    t.diagnostic(`${cuts} cuts`);
    assert.equal((await counters[0]?.read())?.value, 1_120n);
    await until('everybody to see it', () => counters.every(({ value }) => value === 1_120n));
    await Promise.all(counters.map(async (counter) => counter.close()));
    const zk = await clients.connect();
    assert.deepEqual((await zk.getChildren(`${path}/receipts`)).names, []);
  });

  it('an add whose answer is lost is settled although others have added since', async () => {
    const path = freshPath();
    const linked = await clients.connectThroughLink();
    const { zk } = linked;
    const counter = new SharedCounter(zk, { path }).start();
    const other = new SharedCounter(await clients.connect(), { path }).start();
    await counter.add(1n);
    loseNextMultiAnswer(linked, async () => {
      await until('the server to have done it', async () => (await other.read()).value === 11n);
      await other.add(100n);
    });
    assert.deepEqual(await counter.add(10n, { timeoutMs }), { value: 11n, version: 2 });
    assert.equal((await other.read()).value, 111n);
    await counter.close();
    await other.close();
  });

  it('a writer whose receipt was swept counts on; an outdated version is refused', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const counter = new SharedCounter(zk, { path }).start();
    const first = await counter.add(1n);
    const { names } = await zk.getChildren(`${path}/receipts`);
    await zk.delete(`${path}/receipts/${names[0] ?? ''}`);
    assert.equal((await counter.add(1n, { timeoutMs })).value, 2n);
    await assert.rejects(counter.compareAndSet({ ...first, value: 9n }), { code: 'zookeeper.bad_version' });
    assert.equal((await counter.compareAndSet({ version: first.version + 1, value: 9n })).value, 9n);
    await counter.close();
  });
});
