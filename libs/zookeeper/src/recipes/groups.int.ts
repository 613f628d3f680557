import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { TestClients, testTickTimeMs } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import { sticky } from './balance.ts';
import { DynamicConfig } from './dynamic-config.ts';
import { GroupMembership } from './group-membership.ts';
import { PartitionLeadership } from './partition-leadership.ts';
import { ServiceDiscovery } from './service-discovery.ts';

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
const freshPath = () => `/groups/g${(places += 1)}`;

interface About {
  version: string;
}
function parseAbout(value: unknown): About {
  const { version } = (value ?? {}) as Partial<About>;
  if (typeof version !== 'string') throw new TypeError('version is no text');
  return { version };
}

describe('a group', () => {
  const member = (zk: ZooKeeper, path: string, id: string, onFailed?: (error: unknown) => void) =>
    new GroupMembership<About>(zk, {
      path,
      self: { id, metadata: { version: '1' } },
      parse: parseAbout,
      ...(onFailed === undefined ? {} : { onFailed }),
    });
  const seen = ({ members }: GroupMembership<About>) =>
    members.map(({ id, metadata }) => `${id}:${metadata.version}`).join();

  it('everybody sees who joins, what it says of itself, and who leaves', async () => {
    const path = freshPath();
    const observer = new GroupMembership<About>(await clients.connect(), { path, parse: parseAbout });
    observer.start();
    await observer.ready();
    assert.equal(seen(observer), '');
    const [a, b] = [member(await clients.connect(), path, 'a'), member(await clients.connect(), path, 'b')];
    a.start();
    b.start();
    await until(() => seen(observer) === 'a:1,b:1', 'both');
    await b.update({ version: '2' });
    await until(() => seen(observer) === 'a:1,b:2' && seen(a) === 'a:1,b:2', 'the new version');
    await b.close();
    await until(() => seen(observer) === 'a:1', 'the departure');
    await (await clients.connect()).create(`${path}/stranger`, Buffer.from('?'));
    await a.close();
    await until(() => seen(observer) === '', 'nobody, and no stranger');
  });

  it('a member that was killed and comes back at once replaces its ghost, and is one', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 2_000 });
    const dead = member(zk, path, 'a');
    dead.start();
    await until(() => dead.joined, 'the first life');
    await link.set({ ...passing, state: 'stall' });
    const again = member(await clients.connect(), path, 'a');
    again.start();
    await until(() => again.joined, 'the second life');
    await again.ready();
    assert.equal(again.members.length, 1);
    assert.equal(again.members[0]?.epoch, again.epoch);
  });

  it('of two processes with one id the later stays, and the earlier hears of it and does not fight', async () => {
    const path = freshPath();
    const failed = Promise.withResolvers<unknown>();
    const first = member(await clients.connect(), path, 'a', failed.resolve);
    first.start();
    await until(() => first.joined, 'the first');
    const second = member(await clients.connect(), path, 'a');
    second.start();
    await until(() => second.joined, 'the second');
    assert.match(String(await failed.promise), /another process has joined/);
    assert.deepEqual([first.joined, second.joined], [false, true]);
  });

  it('a lost session joins again with what it said last', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const a = member(zk, path, 'a');
    a.start();
    await until(() => a.joined, 'the joining');
    await a.update({ version: '2' });
    await link.set({ ...passing, state: 'stall' });
    await until(() => phases.includes('lost'), 'the loss');
    await link.set(passing);
    await until(() => a.joined && a.fresh && seen(a) === 'a:2', 'the return');
    await a.close();
  });
});

describe('partition leadership', () => {
  const partitions = 8;

  /** Throws when a partition has two leaders, or an epoch comes back. */
  class PartitionOracle {
    readonly #leaders = new Map<number, { held: boolean; epoch: bigint }>();
    readonly faults: unknown[] = [];
    gains = 0;
    listener = {
      gained: (partition: number, lease: { held: boolean; epoch: bigint }) => {
        const other = this.#leaders.get(partition);
        if (other?.held === true) this.faults.push(`two leaders of ${partition}`);
        if (other !== undefined && lease.epoch <= other.epoch) this.faults.push(`epoch of ${partition} fell`);
        this.#leaders.set(partition, lease);
        this.gains += 1;
      },
      failed: (error: unknown) => this.faults.push(error),
    };
  }

  const balanced = (all: PartitionLeadership[]) => {
    const each = all.map(({ leading }) => leading.length);
    const total = each.reduce((sum, count) => sum + count, 0);
    return total === partitions && Math.max(...each) - Math.min(...each) <= 1;
  };

  it('is balanced on joining, leaving and death, moves no more than it must, and never doubles a leader', async () => {
    const path = freshPath();
    const oracle = new PartitionOracle();
    const make = (zk: ZooKeeper, id: string) =>
      new PartitionLeadership(zk, { path, id, partitions, listener: oracle.listener }).start();
    const a = make(await clients.connect(), 'a');
    await until(() => balanced([a]), 'one to lead all');
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const b = make(zk, 'b');
    await until(() => balanced([a, b]), 'two to share');
    assert.equal(oracle.gains, partitions + 4);
    const c = make(await clients.connect(), 'c');
    await until(() => balanced([a, b, c]), 'three to share');
    assert.equal(oracle.gains, partitions + 4 + 2);
    await link.set({ ...passing, state: 'stall' });
    await until(() => balanced([a, c]), 'two to inherit');
    assert.deepEqual(b.leading, []);
    await link.set(passing);
    await until(() => balanced([a, b, c]), 'the return');
    await a.close();
    await until(() => balanced([b, c]), 'the last two');
    assert.deepEqual(oracle.faults, []);
    await Promise.all([b.close(), c.close()]);
  });

  it('a partition that is handed over is let go only when its work is finished', async () => {
    const path = freshPath();
    const news: string[] = [];
    const finish = Promise.withResolvers<undefined>();
    const a = new PartitionLeadership(await clients.connect(), {
      path,
      id: 'a',
      partitions: 2,
      handOverTimeoutMs: 20_000,
      listener: {
        handingOver: async (partition, { held }) => {
          news.push(`finishing ${held}`);
          await finish.promise;
          news.push(`finished ${partition}`);
        },
        lost: (partition, _lease, end) => news.push(`lost ${partition} ${end}`),
      },
    }).start();
    await until(() => a.leading.length === 2, 'both');
    const b = new PartitionLeadership(await clients.connect(), {
      path,
      id: 'b',
      partitions: 2,
      listener: { gained: (partition) => news.push(`gained ${partition}`) },
    }).start();
    await until(() => news.length > 0, 'the request');
    assert.deepEqual([news, b.leading], [['finishing true'], []]);
    finish.resolve(undefined);
    await until(() => b.leading.length === 1, 'the successor');
    const [partition] = b.leading;
    const [finishing, ...rest] = news;
    assert.equal(finishing, 'finishing true');
    assert.deepEqual(
      rest.toSorted(),
      [`finished ${partition}`, `gained ${partition}`, `lost ${partition} released`].toSorted(),
    );
    assert.equal(rest[0], `finished ${partition}`);
    await Promise.all([a.close(), b.close()]);
  });
});

interface Batch {
  rowsMax: number;
}
function parseBatch(value: unknown): Batch {
  const { rowsMax } = (value ?? {}) as Partial<Batch>;
  if (typeof rowsMax !== 'number' || rowsMax < 1) throw new TypeError('rowsMax must be a positive number');
  return { rowsMax };
}

describe('dynamic configuration', () => {
  const initial = { rowsMax: 100 };
  const adminSecret = 'admin:secret';

  it('everybody converges to what the admin publishes, and nobody else can write or delete it', async () => {
    const path = freshPath();
    const readers = await Promise.all(
      Array.from({ length: 3 }, async () =>
        new DynamicConfig(await clients.connect(), { path, parse: parseBatch, initial }).start(),
      ),
    );
    const admin = new DynamicConfig(
      await clients.connect({ auth: [{ scheme: 'digest', secret: adminSecret }] }),
      { path, parse: parseBatch, initial, adminSecret },
    ).start();
    await Promise.all(readers.map(async (reader) => reader.ready()));
    assert.deepEqual(readers[0]?.current, { value: initial, version: undefined });
    assert.equal(await admin.publish({ rowsMax: 200 }), 0);
    assert.equal(await admin.publish({ rowsMax: 300 }, 0), 1);
    await until(
      () => readers.every(({ current }) => current.value.rowsMax === 300 && current.version === 1),
      'all',
    );
    await assert.rejects(admin.publish({ rowsMax: 400 }, 0), { code: 'zookeeper.bad_version' });
    await assert.rejects(admin.publish({ rowsMax: 0 }), {
      code: 'zookeeper.invalid_config',
      message: /positive/,
    });
    await assert.rejects(readers[0]?.publish({ rowsMax: 1 }) ?? assert.fail(), { code: 'zookeeper.no_auth' });
    const other = await clients.connect();
    await assert.rejects(other.delete(`${path}/value`), { code: 'zookeeper.no_auth' });
    await assert.rejects(other.create(`${path}/more`), { code: 'zookeeper.no_auth' });
  });

  it('what does not parse is reported and changes nothing; an outage neither', async () => {
    const path = freshPath();
    const rejected: string[] = [];
    const { zk, link } = await clients.connectThroughLink();
    const config = new DynamicConfig(zk, {
      path,
      parse: parseBatch,
      initial,
      onRejected: (error) => rejected.push(error.message),
    }).start();
    const other = await clients.connect();
    const publisher = new DynamicConfig(other, { path, parse: parseBatch, initial });
    await publisher.publish({ rowsMax: 2 });
    await until(() => config.current.version === 0, 'the first');
    await other.setData(`${path}/value`, Buffer.from('{"rowsMax":"many"}'));
    await until(() => rejected.length === 1, 'the report');
    assert.match(rejected[0] ?? '', /version 1 is no valid configuration: rowsMax must be/);
    await link.set({ ...passing, state: 'cut' });
    await until(() => !config.fresh, 'the outage');
    assert.deepEqual(config.current, { value: { rowsMax: 2 }, version: 0 });
    await other.delete(`${path}/value`);
    await publisher.publish({ rowsMax: 3 });
    await link.set(passing);
    await until(() => config.current.value.rowsMax === 3, 'another node with the same version');
    assert.equal(config.current.version, 0);
  });
});

describe('service discovery', () => {
  const instance = (port: number, flavour: string) => ({ address: '127.0.0.1', port, metadata: { flavour } });

  it('finds by filter, takes turns, passes over what failed, and keeps the last list through an outage', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 500 });
    const finder = new ServiceDiscovery(zk, { path, service: 'billing' });
    assert.throws(() => finder.choose(), { code: 'zookeeper.no_instance' });
    finder.start();
    await finder.ready();
    const announced = await Promise.all(
      ['a', 'b', 'c'].map(async (id, index) =>
        new ServiceDiscovery(await clients.connect(), {
          path,
          service: 'billing',
          self: { id, instance: instance(index + 1, id === 'c' ? 'red' : 'blue') },
        }).start(),
      ),
    );
    await until(() => finder.instances().length === 3, 'three instances');
    const blue = ({ metadata }: { metadata: Record<string, string> }) => metadata['flavour'] === 'blue';
    const turns = [1, 2, 3, 4].map(() => finder.choose(blue).id);
    assert.deepEqual(turns.toSorted(), ['a', 'a', 'b', 'b']);
    finder.reportFailure('a');
    assert.deepEqual([finder.choose(blue).id, finder.choose(blue).id], ['b', 'b']);
    finder.reportFailure('b');
    assert.ok(['a', 'b'].includes(finder.choose(blue).id));
    const sticks = finder.choose(undefined, sticky('user-1')).id;
    assert.equal(finder.choose(undefined, sticky('user-1')).id, sticks);
    await link.set({ ...passing, state: 'stall' });
    await until(() => zk.phase === 'lost', 'the outage');
    assert.deepEqual([finder.fresh, finder.instances().length], [false, 3]);
    await announced[0]?.close();
    await link.set(passing);
    await until(() => finder.fresh && finder.instances().length === 2, 'the list of now');
  });
});
