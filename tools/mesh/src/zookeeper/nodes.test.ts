import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ZooKeeperError, type NodeChildren, type Stat, type ZooKeeper } from '@thermomesh/zookeeper';
import { deleteNode, deleteTree, readTree } from './nodes.ts';

const noNode = (path: string) => new ZooKeeperError('zookeeper.no_node', `no ${path}`, { path });

/**
 * The calls of `readTree` and `deleteTree` on a few nodes; `onDelete` plays another client that
 * writes there.
 */
function fakeClient(paths: string[], onDelete: (path: string, nodes: Set<string>) => void = () => undefined) {
  const nodes = new Set(paths);
  const below = (path: string) =>
    [...nodes].filter((each) => each.startsWith(path === '/' ? '/' : `${path}/`));
  const zk = {
    async getChildren(path: string): Promise<NodeChildren> {
      if (!nodes.has(path)) throw noNode(path);
      const rests = below(path).map((each) => each.slice(path === '/' ? 1 : path.length + 1));
      const names = rests.filter((rest) => rest !== '' && !rest.includes('/')).sort();
      return { names, stat: { version: 0, dataBytes: 0, ephemeralOwner: 0n } as Stat };
    },
    async delete(path: string): Promise<void> {
      onDelete(path, nodes);
      if (!nodes.has(path)) throw noNode(path);
      if (below(path).length > 0) throw new ZooKeeperError('zookeeper.not_empty', path);
      nodes.delete(path);
    },
  };
  return { zk: zk as unknown as ZooKeeper, nodes };
}

describe('recursive delete', () => {
  it("the root and ZooKeeper's own nodes are never deleted, and no request is sent", async () => {
    const unusable = {} as ZooKeeper;
    for (const path of ['/', '/zookeeper', '/zookeeper/quota']) {
      await assert.rejects(deleteTree(unusable, path), { code: 'usage' });
      await assert.rejects(deleteNode(unusable, path, undefined), { code: 'usage' });
    }
  });

  it('a recursive delete takes children before parents, and nothing beside the node', async () => {
    const { zk, nodes } = fakeClient(['/', '/a', '/a/b', '/a/b/c', '/a/d', '/ab']);
    assert.deepEqual(await deleteTree(zk, '/a'), { action: 'delete', path: '/a', version: null, nodes: 4 });
    assert.deepEqual([...nodes], ['/', '/ab']);
  });

  it('a child that comes meanwhile is deleted too, and an endless writer is reported', async () => {
    let late = true;
    const once = fakeClient(['/a', '/a/b'], (path, nodes) => {
      if (path === '/a' && late) nodes.add('/a/late');
      late &&= path !== '/a';
    });
    assert.equal((await deleteTree(once.zk, '/a')).nodes, 3);
    assert.equal(once.nodes.size, 0);
    let count = 0;
    const forever = fakeClient(['/a'], (path, nodes) => {
      if (path === '/a') nodes.add(`/a/${(count += 1)}`);
    });
    await assert.rejects(deleteTree(forever.zk, '/a'), {
      code: 'zookeeper.not_empty',
      message: /goes on writing/,
    });
  });
});

describe('the tree', () => {
  it('a tree stops at its limits and reports that there is more', async () => {
    const { zk } = fakeClient(['/', '/a', '/a/b', '/c']);
    const paths = async (depthMax: number, nodesMax: number) => {
      const { nodes, complete } = await readTree(zk, '/', { depthMax, nodesMax });
      return [nodes.map(({ path }) => path).join(' '), complete];
    };
    assert.deepEqual(await paths(9, 9), ['/ /a /c /a/b', true]);
    assert.deepEqual(await paths(1, 9), ['/ /a /c', false]);
    assert.deepEqual(await paths(9, 2), ['/ /a', false]);
    assert.deepEqual(await paths(9, 4), ['/ /a /c /a/b', true]);
    await assert.rejects(readTree(zk, '/x', { depthMax: 9, nodesMax: 9 }), { code: 'zookeeper.no_node' });
  });
});
