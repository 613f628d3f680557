import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { endingSessionMs } from '../../testing/clients.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import { sticky } from './balance.ts';
import { GroupMembership } from './group-membership.ts';
import { ServiceDiscovery } from './service-discovery.ts';

const { clients, freshPath } = useZooKeeper();

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

  it('every member sees joins, new metadata and departures', async () => {
    const path = freshPath();
    const observer = new GroupMembership<About>(await clients.connect(), { path, parse: parseAbout });
    observer.start();
    await observer.ready();
    assert.equal(seen(observer), '');
    const [a, b] = [member(await clients.connect(), path, 'a'), member(await clients.connect(), path, 'b')];
    a.start();
    b.start();
    await until('both', () => seen(observer) === 'a:1,b:1');
    await b.update({ version: '2' });
    await until('the new version', () => seen(observer) === 'a:1,b:2' && seen(a) === 'a:1,b:2');
    await b.close();
    await until('the departure', () => seen(observer) === 'a:1');
    await (await clients.connect()).create(`${path}/stranger`, Buffer.from('?'));
    await a.close();
    await until('an empty group without the stranger', () => seen(observer) === '');
  });

  it('a member that is killed and restarted at once replaces its ghost and is one', async () => {
    const path = freshPath();
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: 2_000 });
    const dead = member(zk, path, 'a');
    dead.start();
    await until('the first life', () => dead.joined);
    await link.set({ ...passing, state: 'stall' });
    const again = member(await clients.connect(), path, 'a');
    again.start();
    await until('the second life', () => again.joined);
    await again.ready();
    assert.equal(again.members.length, 1);
    assert.equal(again.members[0]?.epoch, again.epoch);
  });

  it('of two processes with one id the later stays, and the earlier gets an error', async () => {
    const path = freshPath();
    const failed = Promise.withResolvers<unknown>();
    const first = member(await clients.connect(), path, 'a', failed.resolve);
    first.start();
    await until('the first', () => first.joined);
    const second = member(await clients.connect(), path, 'a');
    second.start();
    await until('the second', () => second.joined);
    assert.match(String(await failed.promise), /another process has joined/);
    assert.deepEqual([first.joined, second.joined], [false, true]);
  });

  it("a late write of a replaced member does not reach its successor's node", async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const first = member(zk, path, 'a', () => undefined);
    first.start();
    await until('the first', () => first.joined);
    const second = new GroupMembership<About>(await clients.connect(), {
      path,
      self: { id: 'a', metadata: { version: 'later' } },
      parse: parseAbout,
    });
    // The last write is under way, its check already made, when the other process joins.
    const multi = zk.multi.bind(zk);
    let writes = 0;
    zk.multi = async (operations) => {
      writes += 1;
      if (writes === 1) {
        second.start();
        await until('the second', () => second.joined);
      }
      return multi(operations);
    };
    await first.update({ version: 'earlier' });
    assert.equal(writes, 1);
    const onlooker = new GroupMembership<About>(await clients.connect(), { path, parse: parseAbout }).start();
    await onlooker.ready();
    assert.equal(seen(onlooker), 'a:later');
    await second.update({ version: 'latest' });
    await until('its own word', () => seen(onlooker) === 'a:latest');
  });

  it('after a lost session a member joins again with its latest metadata', async () => {
    const path = freshPath();
    const { zk, link, phases } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
    const a = member(zk, path, 'a');
    a.start();
    await until('the joining', () => a.joined);
    await a.update({ version: '2' });
    await link.set({ ...passing, state: 'stall' });
    await until('the loss', () => phases.includes('lost'));
    await link.set(passing);
    await until('the return', () => a.joined && a.fresh && seen(a) === 'a:2');
    await a.close();
  });
});

describe('service discovery', () => {
  const instance = (port: number, flavour: string) => ({ address: '127.0.0.1', port, metadata: { flavour } });

  it('discovery filters, balances, avoids failures, and keeps its list in an outage', async () => {
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
    await until('three instances', () => finder.instances().length === 3);
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
    await until('the outage', () => zk.phase === 'lost');
    assert.deepEqual([finder.fresh, finder.instances().length], [false, 3]);
    await announced[0]?.close();
    await link.set(passing);
    await until('the list of now', () => finder.fresh && finder.instances().length === 2);
  });
});
