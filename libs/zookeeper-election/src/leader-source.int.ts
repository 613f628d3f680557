import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { leaderSourceConformance } from '@thermomesh/election/conformance/leader-source';
import type { MemberStatus, NodeId } from '@thermomesh/election';
import { openLink, passing, type Link } from '@thermomesh/links';
import { testZooKeeper } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import { createZooKeeperLeaderSource } from './index.ts';

/**
 * Some tests wait for the session's end; a machine that stalls for a second or two must not end it
 * earlier.
 */
const sessionTimeoutMs = 4_000;

/** Time limit of each wait. */
const timeoutMs = 60_000;
const { ensemble, freshPath } = useZooKeeper();

leaderSourceConformance('ZooKeeper', () => {
  const path = freshPath();
  const links = new Map<NodeId, Promise<Link>>();
  /** The link from that node to the server. */
  const linkOf = (id: NodeId) => {
    const target = { host: '127.0.0.1', port: Number(ensemble().hosts.split(':')[1]) };
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
  it('a server restart suspends the first; it is confirmed, and all statuses return', async () => {
    const statuses = new Map<NodeId, Readonly<Record<NodeId, MemberStatus>>>();
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
          onGroup: (others) => statuses.set(id, others),
          onReleased: () => undefined,
          onReachable: () => undefined,
          onError: (error) => log.push(String(error)),
        });
        source.setCandidate(true);
        source.publish({ fit: true, leads: id });
      }
      const settled = async () =>
        until(
          'each node to know the status of the other',
          () => statuses.get(1)?.[2]?.leads === 2 && statuses.get(2)?.[1]?.leads === 1,
          { timeoutMs },
        );
      await settled();
      await until('a first node', () => log.length > 0, { timeoutMs });
      const [member] = own.members;
      assert.ok(member);
      await member.kill();
      await until('the first node to step down', () => log.at(-1)?.endsWith('not first') === true, {
        timeoutMs,
      });
      statuses.clear();
      await member.restart();
      await settled();
      await until('a first node again', () => log.at(-1)?.endsWith('not first') !== true, { timeoutMs });
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
  it('a first node that is cut off steps down before its session is over', async () => {
    const target = { host: '127.0.0.1', port: Number(ensemble().hosts.split(':')[1]) };
    const link = await openLink({ name: 'first', port: 0, target });
    const own = { path: '/cut-off', sessionTimeoutMs };
    const [first, other] = [`127.0.0.1:${link.port}`, ensemble().hosts].map((hosts, index) =>
      createZooKeeperLeaderSource({ ...own, nodeId: index + 1, hosts }),
    );
    assert.ok(first && other);
    const log: string[] = [];
    const ignored = {
      onFirst: () => undefined,
      onGroup: () => undefined,
      onReleased: () => undefined,
      onReachable: () => undefined,
      onError: (error: unknown) => log.push(String(error)),
    };
    try {
      await other.start(ignored);
      other.publish({ fit: true, leads: null });
      await first.start({
        ...ignored,
        onFirst: (isFirst) => log.push(isFirst ? 'first' : 'not first'),
        // The status of the others is unknown now; this is reported at the end of the session.
        onGroup: (others) => log.push(others[2] === undefined ? 'alone' : 'together'),
      });
      first.setCandidate(true);
      await until(
        'the first node to see the other',
        () => log.includes('first') && log.includes('together'),
        { timeoutMs },
      );
      log.length = 0;
      await link.set({ ...passing, state: 'cut' });
      await until('the first node to be alone', () => log.includes('alone') && log.includes('not first'), {
        timeoutMs,
      });
      assert.ok(log.indexOf('not first') < log.indexOf('alone'), log.join());
    } finally {
      await Promise.all([first.stop(), other.stop()]);
      await link.close();
    }
  });
});
