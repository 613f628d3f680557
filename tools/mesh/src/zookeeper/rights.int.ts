import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  digestOf,
  openAcl,
  privateAcl,
  readableAcl,
  ZooKeeper,
  type Credentials,
} from '@thermomesh/zookeeper';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import { deleteNodesMax, deleteTree, readTree } from './nodes.ts';
import { isDeletable, planDeletion } from './rights.ts';

const { ensemble, freshPath } = useZooKeeper();
const owner: Credentials = { scheme: 'digest', secret: 'operator:secret' };

async function withClient<T>(auth: readonly Credentials[], work: (zk: ZooKeeper) => Promise<T>): Promise<T> {
  const zk = new ZooKeeper({ hosts: ensemble().hosts, sessionTimeoutMs: 10_000, auth });
  zk.start();
  try {
    await zk.whenConnected({ timeoutMs: 60_000 });
    return await work(zk);
  } finally {
    await zk.close();
  }
}

describe('a recursive delete', () => {
  it('row 4: one node that refuses stops it, is named, and nothing is deleted', async () => {
    const root = freshPath();
    const closed = `${root}/config`;
    await withClient([owner], async (zk) => {
      await zk.ensurePath(`${root}/jobs/1`);
      await zk.create(closed, Buffer.from('{}'), { acl: readableAcl(owner.secret) });
      await zk.create(`${closed}/limits`, Buffer.from('1'), { acl: privateAcl(owner.secret) });
    });
    await withClient([], async (zk) => {
      await assert.rejects(planDeletion(zk, root, undefined, deleteNodesMax), {
        code: 'zookeeper.no_auth',
        message: new RegExp(`^nothing was deleted: ${closed} stops it,`),
      });
      assert.equal((await readTree(zk, root, { depthMax: 9, nodesMax: 9 })).nodes.length, 5);
    });
    await withClient([owner], async (zk) => {
      const { paths, ofSessions } = await planDeletion(zk, root, owner, deleteNodesMax);
      assert.deepEqual([paths.length, ofSessions], [5, 0]);
      assert.equal((await deleteTree(zk, root)).nodes, 5);
    });
  });

  it('a node that hides its children stops it too', async () => {
    const root = freshPath();
    await withClient([owner], async (zk) => {
      await zk.ensurePath(root);
      await zk.create(`${root}/hidden`, Buffer.alloc(0), { acl: privateAcl(owner.secret) });
    });
    await withClient([], async (zk) => {
      const planned = planDeletion(zk, root, undefined, deleteNodesMax);
      await assert.rejects(planned, { message: new RegExp(`${root}/hidden stops it`) });
      await assert.rejects(planDeletion(zk, root, undefined, 1), { code: 'usage', message: /more than 1/ });
    });
  });

  it('the right to delete is that of anyone, of the own digest, or of the superuser', () => {
    const mine = [{ permissions: ['delete'] as const, scheme: 'digest', id: digestOf(owner.secret) }];
    assert.equal(isDeletable(openAcl, undefined), true);
    assert.equal(isDeletable(mine, owner), true);
    assert.equal(isDeletable(mine, undefined), false);
    assert.equal(isDeletable(mine, { scheme: 'digest', secret: 'operator:other' }), false);
    assert.equal(isDeletable(mine, { scheme: 'digest', secret: 'super:any' }), true);
    assert.equal(isDeletable(readableAcl('else:x'), owner), false);
  });
});
