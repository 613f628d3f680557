import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { leaderSourceConformance } from '@thermomesh/election/conformance/leader-source';
import type { GroupWord, NodeId } from '@thermomesh/election';
import { openLink, passing, type Link } from '@thermomesh/links';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { createZooKeeperLeaderSource } from './index.ts';

/** Some tests wait for its end; a machine that stalls for a second or two takes it from nobody. */
const sessionTimeoutMs = 4_000;

let server: TestEnsemble;
let groups = 0;
before(async () => {
  server = await testZooKeeper();
});
after(async () => server.remove());

leaderSourceConformance('ZooKeeper', () => {
  groups += 1;
  const path = `/conformance/group-${groups}`;
  const links = new Map<NodeId, Promise<Link>>();
  /** The way of that node to the server. */
  const linkOf = (id: NodeId) => {
    const target = { host: '127.0.0.1', port: Number(server.hosts.split(':')[1]) };
    const link = links.get(id) ?? openLink({ name: `node-${id}`, port: 0, target });
    links.set(id, link);
    return link;
  };
  return {
    source: async (nodeId) => {
      const { port } = await linkOf(nodeId);
      return createZooKeeperLeaderSource({ nodeId, hosts: `127.0.0.1:${port}`, path, sessionTimeoutMs });
    },
    cut: async (id) => (await linkOf(id)).set({ ...passing, state: 'cut' }),
    heal: async (id) => (await linkOf(id)).set(passing),
    close: async () => {
      for (const link of links.values()) await (await link).close();
    },
  };
});

describe('a server that is killed and started again', () => {
  it('suspends the first, which is confirmed or followed, and every word is there again', async () => {
    const words = new Map<NodeId, Readonly<Record<NodeId, GroupWord>>>();
    const log: string[] = [];
    const own = await testZooKeeper();
    const sources = [1, 2].map((nodeId) => {
      const { hosts } = own;
      return createZooKeeperLeaderSource({ nodeId, hosts, path: '/killed', sessionTimeoutMs });
    });
    try {
      for (const [index, source] of sources.entries()) {
        const id = index + 1;
        await source.start({
          onFirst: (first) => log.push(`${id} ${first ? 'first' : 'not first'}`),
          onGroup: (others) => words.set(id, others),
          onGivenBack: () => undefined,
          onReachable: () => undefined,
          onFault: (error) => log.push(String(error)),
        });
        source.stand(true);
        source.say({ fit: true, leads: id });
      }
      const settled = async () => {
        while (words.get(1)?.[2]?.leads !== 2 || words.get(2)?.[1]?.leads !== 1) await tick();
      };
      await settled();
      while (log.length === 0) await tick();
      const [member] = own.members;
      assert.ok(member);
      await member.kill();
      while (!log.at(-1)?.endsWith('not first')) await tick();
      words.clear();
      await member.restart();
      await settled();
      while (log.at(-1)?.endsWith('not first')) await tick();
      assert.deepEqual(
        log.map((line) => line.slice(2)),
        ['first', 'not first', 'first'],
      );
    } finally {
      await Promise.all(sources.map((source) => source.stop()));
      await own.remove();
    }
  });
});

describe('the first of the queue that is cut off', () => {
  it('is told that it may not be first any more before its session is over, not by its end', async () => {
    const target = { host: '127.0.0.1', port: Number(server.hosts.split(':')[1]) };
    const link = await openLink({ name: 'first', port: 0, target });
    const own = { path: '/cut-off', sessionTimeoutMs };
    const [first, other] = [`127.0.0.1:${link.port}`, server.hosts].map((hosts, index) =>
      createZooKeeperLeaderSource({ ...own, nodeId: index + 1, hosts }),
    );
    assert.ok(first && other);
    const log: string[] = [];
    const ignored = {
      onFirst: () => undefined,
      onGroup: () => undefined,
      onGivenBack: () => undefined,
      onReachable: () => undefined,
      onFault: (error: unknown) => log.push(String(error)),
    };
    try {
      await other.start(ignored);
      other.say({ fit: true, leads: null });
      await first.start({
        ...ignored,
        onFirst: (isFirst) => log.push(isFirst ? 'first' : 'not first'),
        // Nothing is known of the others any more: said at the end of the session.
        onGroup: (others) => log.push(others[2] === undefined ? 'alone' : 'together'),
      });
      first.stand(true);
      while (!log.includes('first') || !log.includes('together')) await tick();
      log.length = 0;
      await link.set({ ...passing, state: 'cut' });
      while (!log.includes('alone') || !log.includes('not first')) await tick();
      assert.ok(log.indexOf('not first') < log.indexOf('alone'), log.join());
    } finally {
      await Promise.all([first.stop(), other.stop()]);
      await link.close();
    }
  });
});

const tick = () => new Promise((resolve) => setTimeout(resolve, 5));
