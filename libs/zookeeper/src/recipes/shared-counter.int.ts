import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { TestClients, testTickTimeMs } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import { SharedCounter } from './shared-counter.ts';

let server: TestEnsemble;
let clients: TestClients;
before(async () => {
  server = await testZooKeeper({ tickTimeMs: testTickTimeMs });
  clients = new TestClients(server.hosts);
});
after(async () => server.remove());
afterEach(async () => {
  await clients.closeAll();
  assert.deepEqual(clients.faults, []);
});

let places = 0;
const freshPath = () => `/counters/c${(places += 1)}`;

describe('a shared counter', () => {
  it('misses no count of many at once, and everybody sees the sum', async () => {
    const path = freshPath();
    const counters = await Promise.all(
      Array.from({ length: 3 }, async () =>
        new SharedCounter(await clients.connect(), { path, initial: 5n }).start(),
      ),
    );
    assert.deepEqual(await counters[0]?.read(), { value: 5n, version: -1 });
    await Promise.all(
      counters.map(async (counter) => {
        for (let count = 0; count < 10; count += 1) await counter.add(2n);
      }),
    );
    await until(() => counters.every(({ value }) => value === 65n), 'the sum');
    await assert.rejects(counters[0]?.compareAndSet({ value: 0n, version: 3 }) ?? assert.fail(), {
      code: 'zookeeper.bad_version',
    });
  });

  it('a count whose answer is lost is not counted twice behind the back of the caller', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink();
    const counter = new SharedCounter(zk, { path }).start();
    await counter.add(1n);
    const other = await clients.connect();
    const setData = zk.setData.bind(zk);
    zk.setData = async (...args) => {
      await link.set({ ...passing, state: 'stall', direction: 'backward' });
      const answer = setData(...args);
      await until(async () => (await other.getData(path)).data.toString() === '2', 'the count');
      await link.set({ ...passing, state: 'cut' });
      return answer;
    };
    await assert.rejects(counter.add(1n), { applied: 'unknown', retriable: false });
    await link.set(passing);
    assert.equal((await other.getData(path)).data.toString(), '2');
  });
});
