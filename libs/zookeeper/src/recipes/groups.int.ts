import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { endingSessionMs, TestClients, testServers } from '../testing/clients.ts';
import { until } from '../testing/until.ts';
import { sticky } from './balance.ts';
import { DynamicConfig } from './dynamic-config.ts';
import { GroupMembership } from './group-membership.ts';
import { PartitionLeadership } from './partition-leadership.ts';
import { ServiceDiscovery } from './service-discovery.ts';
import { ticketsIn } from './tickets.ts';

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

  it('what the earlier one writes in the moment in which it is replaced does not get into the node of the later one', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const first = member(zk, path, 'a', () => undefined);
    first.start();
    await until(() => first.joined, 'the first');
    const second = new GroupMembership<About>(await clients.connect(), {
      path,
      self: { id: 'a', metadata: { version: 'later' } },
      parse: parseAbout,
    });
    // What is written last is on its way, looked at already, when the other one comes.
    const multi = zk.multi.bind(zk);
    let writes = 0;
    zk.multi = async (operations) => {
      writes += 1;
      if (writes === 1) {
        second.start();
        await until(() => second.joined, 'the second');
      }
      return multi(operations);
    };
    await first.update({ version: 'earlier' });
    assert.equal(writes, 1);
    const onlooker = new GroupMembership<About>(await clients.connect(), { path, parse: parseAbout }).start();
    await onlooker.ready();
    assert.equal(seen(onlooker), 'a:later');
    await second.update({ version: 'latest' });
    await until(() => seen(onlooker) === 'a:latest', 'its own word');
  });

  it('a lost session joins again with what it said last', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
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
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
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

  it('who assigns no more writes no assignment, however late its write arrives', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const other = await clients.connect();
    const a = new PartitionLeadership(zk, { path, id: 'a', partitions }).start();
    await until(() => balanced([a]), 'one to lead all');
    // The write for the newcomer is on its way when the place of who assigns goes.
    const multi = zk.multi.bind(zk);
    const outcomes: string[] = [];
    zk.multi = async (operations) => {
      if (outcomes.length === 0) {
        const [seat] = ticketsIn((await other.getChildren(`${path}/assigner`)).names);
        await other.delete(`${path}/assigner/${seat?.name}`);
      }
      const outcome = multi(operations);
      outcomes.push(
        await outcome.then(
          () => 'written',
          (error: { code?: string }) => String(error.code),
        ),
      );
      return outcome;
    };
    const b = new PartitionLeadership(other, { path, id: 'b', partitions }).start();
    await until(() => balanced([a, b]), 'two to share');
    assert.equal(outcomes[0], 'zookeeper.no_node');
    await Promise.all([a.close(), b.close()]);
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
    await admin.ready();
    for (const { current } of [...readers, admin])
      assert.deepEqual(current, { value: initial, version: undefined });
    const first = await admin.publish({ rowsMax: 200 });
    assert.equal(await admin.publish({ rowsMax: 300 }, first), first + 1);
    await until(
      () => readers.every(({ current }) => current.value.rowsMax === 300 && current.version === first + 1),
      'all',
    );
    await assert.rejects(admin.publish({ rowsMax: 400 }, first), { code: 'zookeeper.bad_version' });
    await assert.rejects(admin.publish({ rowsMax: 0 }), {
      code: 'zookeeper.invalid_config',
      message: /positive/,
    });
    await assert.rejects(readers[0]?.publish({ rowsMax: 1 }) ?? assert.fail(), { code: 'zookeeper.no_auth' });
    const other = await clients.connect();
    await assert.rejects(other.delete(`${path}/value`), { code: 'zookeeper.no_auth' });
    await assert.rejects(other.create(`${path}/more`), { code: 'zookeeper.no_auth' });
  });

  it('nobody else can write before anything is published, and what somebody wrote before the first start is not taken', async () => {
    const path = freshPath();
    const other = await clients.connect();
    const stranger = new DynamicConfig(other, { path, parse: parseBatch, initial });
    await stranger.publish({ rowsMax: 666 });
    const auth = [{ scheme: 'digest' as const, secret: adminSecret }];
    const options = { path, parse: parseBatch, initial, adminSecret };
    const starts = [await clients.connect({ auth }), await clients.connect({ auth })].map((zk) =>
      new DynamicConfig(zk, options).start(),
    );
    await Promise.all(starts.map(async (config) => config.ready()));
    for (const { current } of starts) assert.deepEqual(current, { value: initial, version: undefined });
    await assert.rejects(stranger.publish({ rowsMax: 666 }), { code: 'zookeeper.no_auth' });
    await assert.rejects(stranger.seed({ rowsMax: 666 }), { code: 'zookeeper.no_auth' });
    await assert.rejects(other.delete(`${path}/value`), { code: 'zookeeper.no_auth' });
    await assert.rejects(other.delete(path), { code: 'zookeeper.not_empty' });
    const failed = Promise.withResolvers<unknown>();
    const elsewhere = await clients.connect({ auth: [{ scheme: 'digest', secret: 'admin:other' }] });
    const foreign = new DynamicConfig(elsewhere, {
      ...options,
      adminSecret: 'admin:other',
      onFailed: failed.resolve,
    }).start();
    assert.match(String(await failed.promise), /somebody else's to write/);
    await assert.rejects(foreign.ready(), { code: 'zookeeper.no_auth' });
    await foreign.close();
  });

  it('what shall hold at first is published by one of those that start, and undoes no later change', async () => {
    const path = freshPath();
    const admins = await Promise.all(
      [1, 2, 3].map(async (rowsMax) => {
        const zk = await clients.connect({ auth: [{ scheme: 'digest', secret: adminSecret }] });
        return { rowsMax, config: new DynamicConfig(zk, { path, parse: parseBatch, initial, adminSecret }) };
      }),
    );
    const seeded = await Promise.all(admins.map(async ({ rowsMax, config }) => config.seed({ rowsMax })));
    assert.equal(seeded.filter(Boolean).length, 1);
    const reader = new DynamicConfig(await clients.connect(), { path, parse: parseBatch, initial }).start();
    const winner = admins.find((_, index) => seeded[index])?.rowsMax;
    await until(() => reader.current.value.rowsMax === winner, 'the first');
    await admins[0]?.config.publish({ rowsMax: 50 });
    assert.equal(await admins[1]?.config.seed({ rowsMax: 7 }), false);
    await until(() => reader.current.value.rowsMax === 50, 'the change');
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
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
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
