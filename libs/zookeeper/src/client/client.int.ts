import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { hasCode } from '../errors.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';
import { privateAcl, readableAcl } from './acl.ts';
import type { WatchEvent } from './types.ts';

const { clients, ensemble, freshNode } = useZooKeeper();

const bytes = (text: string) => Buffer.from(text);

describe('requests', () => {
  it('nodes are created, read, set, listed and deleted in every mode', async () => {
    const zk = await clients.connect();
    const path = await freshNode(zk);
    assert.equal(await zk.create(`${path}/a`, bytes('1')), `${path}/a`);
    assert.equal(await zk.create(`${path}/e`, bytes(''), { mode: 'ephemeral' }), `${path}/e`);
    assert.match(
      await zk.create(`${path}/s-`, bytes(''), { mode: 'persistent-sequential' }),
      /\/s-[0-9]{10}$/,
    );
    assert.match(
      await zk.create(`${path}/t-`, bytes(''), { mode: 'ephemeral-sequential' }),
      /\/t-[0-9]{10}$/,
    );
    assert.equal((await zk.getChildren(path)).names.length, 4);
    const stat = await zk.setData(`${path}/a`, bytes('22'), 0);
    assert.deepEqual([stat.version, stat.dataBytes, stat.ephemeralOwner], [1, 2, 0n]);
    assert.equal((await zk.getData(`${path}/a`)).data.toString(), '22');
    assert.equal((await zk.exists(`${path}/e`))?.ephemeralOwner, zk.session?.id);
    await zk.delete(`${path}/a`, 1);
    assert.equal(await zk.exists(`${path}/a`), undefined);
    await zk.deleteTree(path);
    assert.equal(await zk.exists(path), undefined);
  });

  it('an error has a code, a path and a cause, and says that nothing happened', async () => {
    const zk = await clients.connect();
    const path = await freshNode(zk);
    await assert.rejects(zk.setData(path, bytes('x'), 7), (error) => {
      assert.ok(hasCode(error, 'zookeeper.bad_version'));
      assert.deepEqual([error.path, error.retriable, error.applied], [path, false, 'no']);
      assert.ok(error.cause instanceof Error);
      return true;
    });
    await assert.rejects(zk.create(path), { code: 'zookeeper.node_exists' });
    await assert.rejects(zk.getData(`${path}/none`), { code: 'zookeeper.no_node' });
    await zk.create(`${path}/child`);
    await assert.rejects(zk.delete(path), { code: 'zookeeper.not_empty' });
    await assert.rejects(zk.getData('relative'), { code: 'zookeeper.bad_path' });
  });

  it('pipelined requests are answered in the order of the calls', async () => {
    const zk = await clients.connect();
    const path = await freshNode(zk);
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 500 }, async (_, index) => {
        if (index % 2 === 0) await zk.setData(path, bytes(String(index)));
        else assert.equal((await zk.getData(path)).data.toString(), String(index - 1));
        order.push(index);
      }),
    );
    assert.deepEqual(
      order,
      Array.from({ length: 500 }, (_, index) => index),
    );
  });

  it('one request more than the limit is refused at once, and a retry gets through', async () => {
    const zk = await clients.connect({ limits: { requestsInFlightMax: 3 } });
    const path = await freshNode(zk);
    const results = await Promise.allSettled(Array.from({ length: 5 }, async () => zk.exists(path)));
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
    const all = Array.from({ length: 20 }, async () =>
      zk.retry(async () => zk.exists(path), { timeoutMs: 20_000 }),
    );
    assert.equal((await Promise.all(all)).length, 20);
  });

  it('data beyond the limit is not sent, and the message names its size', async () => {
    const zk = await clients.connect({ limits: { dataBytesMax: 1024 } });
    const large = Buffer.alloc(2048);
    await assert.rejects(zk.create('/large', large), {
      code: 'zookeeper.too_large',
      message: /2\.0 KiB.*1\.0 KiB/,
    });
    await assert.rejects(zk.multi([{ type: 'create', path: '/large', data: large }]), {
      code: 'zookeeper.too_large',
    });
    assert.equal(await zk.exists('/large'), undefined);
  });

  it('a multi is all or nothing, and its version 0 means version 0', async () => {
    const zk = await clients.connect();
    const path = await freshNode(zk);
    await zk.create(`${path}/a`);
    const results = await zk.multi([
      { type: 'check', path: `${path}/a`, version: 0 },
      { type: 'create', path: `${path}/b-`, mode: 'persistent-sequential' },
      { type: 'set', path: `${path}/a`, data: bytes('1'), version: 0 },
    ]);
    assert.match(results[1]?.path ?? '', /b-[0-9]{10}$/);
    assert.equal(results[2]?.stat?.version, 1);
    for (const guarded of [
      { type: 'check', path: `${path}/a`, version: 0 },
      { type: 'set', path: `${path}/a`, data: bytes('2'), version: 0 },
      { type: 'delete', path: `${path}/a`, version: 0 },
    ] as const) {
      await assert.rejects(zk.multi([{ type: 'create', path: `${path}/c` }, guarded]), {
        code: 'zookeeper.bad_version',
      });
    }
    assert.equal(await zk.exists(`${path}/c`), undefined);
  });

  it('sync is answered, and the connection survives it', async () => {
    const zk = await clients.connect();
    const [, stat] = await Promise.all([zk.sync('/'), zk.exists('/')]);
    assert.ok(stat);
    assert.equal(zk.session?.number, 1);
  });

  it('ensurePath creates what is missing, repeatedly; a chroot hides the rest', async () => {
    const zk = await clients.connect();
    await Promise.all([zk.ensurePath('/deep/er/est'), zk.ensurePath('/deep/er/est')]);
    await zk.create('/deep/er/est/leaf', bytes('x'));
    const below = await clients.connect({ hosts: `${ensemble().hosts}/deep/er` });
    assert.equal((await below.getData('/est/leaf')).data.toString(), 'x');
    const [made] = await below.multi([{ type: 'create', path: '/est/second' }]);
    assert.equal(made?.path, '/est/second');
    await below.sync('/est');
    assert.deepEqual((await zk.getChildren('/deep/er/est')).names, ['leaf', 'second']);
  });
});

describe('rights', () => {
  it('only the holder of the secret writes what every client may read', async () => {
    const admin = await clients.connect({ auth: [{ scheme: 'digest', secret: 'admin:secret' }] });
    const other = await clients.connect();
    const path = `${await freshNode(other)}/config`;
    await admin.create(path, bytes('1'), { acl: readableAcl('admin:secret') });
    assert.equal((await other.getData(path)).data.toString(), '1');
    await assert.rejects(other.setData(path, bytes('2')), { code: 'zookeeper.no_auth' });
    await admin.setData(path, bytes('2'));
    await admin.setAcl(path, privateAcl('admin:secret'));
    await assert.rejects(other.getData(path), { code: 'zookeeper.no_auth' });
    assert.deepEqual((await admin.getAcl(path)).acl, privateAcl('admin:secret'));
  });

  it('credentials are sent again on a new connection, before the requests', async () => {
    const { zk, link, phases } = await clients.connectThroughLink({
      auth: [{ scheme: 'digest', secret: 'admin:secret' }],
    });
    const path = `${await freshNode(zk)}/private`;
    await zk.create(path, bytes('1'), { acl: privateAcl('admin:secret') });
    await link.set({ ...passing, state: 'cut' });
    await until('the cut to be noticed', () => zk.phase === 'suspended');
    await link.set(passing);
    assert.equal((await zk.retry(async () => zk.getData(path))).data.toString(), '1');
    assert.deepEqual(phases, ['connecting', 'connected', 'suspended', 'connected']);
  });
});

describe('watches', () => {
  it('a watch fires before the answer with the new data, even if both come together', async () => {
    const { zk, link } = await clients.connectThroughLink();
    const writer = await clients.connect();
    const path = await freshNode(writer);
    await zk.sync(path);
    const seen: string[] = [];
    const read = async () => void seen.push((await zk.getData(path)).data.toString());
    await zk.getData(path, (event) => seen.push(event));
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    await writer.setData(path, bytes('new'));
    const reads = Array.from({ length: 10 }, read);
    // All of them are answered once a later request is.
    const mark = zk.create(`${path}/mark`);
    await until('the answers', async () => (await writer.exists(`${path}/mark`)) !== undefined);
    await link.set(passing);
    await Promise.all([mark, ...reads]);
    assert.deepEqual(seen, ['changed', ...reads.map(() => 'new')]);
  });

  it('each watch fires once, with its reason', async () => {
    const zk = await clients.connect();
    const path = await freshNode(zk);
    const seen: WatchEvent[] = [];
    const watch = (event: WatchEvent) => void seen.push(event);
    await zk.exists(`${path}/a`, watch);
    await zk.create(`${path}/a`);
    await zk.getData(`${path}/a`, watch);
    await zk.setData(`${path}/a`, bytes('1'));
    await zk.setData(`${path}/a`, bytes('2'));
    await zk.getChildren(path, watch);
    await zk.exists(`${path}/a`, watch);
    await zk.delete(`${path}/a`);
    await until('four events', () => seen.length === 4);
    assert.deepEqual(seen.sort(), ['changed', 'children', 'created', 'deleted']);
  });

  it('a watch on a vanished node is not set; the reader waits for its return', async () => {
    const zk = await clients.connect();
    const path = `${await freshNode(zk)}/a`;
    let fired = 0;
    await assert.rejects(
      zk.getData(path, () => (fired += 1)),
      { code: 'zookeeper.no_node' },
    );
    await using watch = zk.watchData(path);
    assert.equal(await watch.first(), undefined);
    await zk.create(path, bytes('back'));
    await until('the node', () => watch.current?.value?.data.toString() === 'back');
    assert.equal(fired, 0);
  });

  it('a watch follows every kind of change and ends with the last state', async () => {
    const zk = await clients.connect();
    const path = `${await freshNode(zk)}/a`;
    await using watch = zk.watchData(path);
    await using children = zk.watchChildren(path);
    const seen: (string | undefined)[] = [];
    const reading = (async () => {
      for await (const state of watch) {
        seen.push(state?.data.toString());
        if (seen.at(-1) === 'end') return;
      }
    })();
    await zk.create(path, bytes('0'));
    for (let index = 1; index <= 50; index += 1) {
      await zk.setData(path, bytes(String(index)));
      await zk.create(`${path}/c${index}`);
    }
    await until('all children', () => children.current?.value?.names.length === 50);
    for (const name of (await zk.getChildren(path)).names) await zk.delete(`${path}/${name}`);
    await zk.delete(path);
    await until('the deletion', () => watch.current?.value === undefined);
    await zk.create(path, bytes('end'));
    await reading;
    await until('no children', () => children.current?.value?.names.length === 0);
    const numbers = seen.filter((each) => each !== undefined && each !== 'end').map(Number);
    assert.deepEqual(
      numbers,
      [...numbers].sort((left, right) => left - right),
    );
  });

  it('a change during a cut is read afterwards; until then the state is not fresh', async () => {
    const { zk, link } = await clients.connectThroughLink();
    const other = await clients.connect();
    const path = await freshNode(other);
    await using watch = zk.watchData(path);
    await watch.first();
    assert.equal(watch.fresh, true);
    await link.set({ ...passing, state: 'cut' });
    await until('the doubt', () => !watch.fresh);
    assert.equal(watch.current?.value?.data.toString(), '');
    await other.setData(path, bytes('meanwhile'));
    await link.set(passing);
    await until('the change', () => watch.fresh && watch.current?.value?.data.toString() === 'meanwhile');
  });

  it('cached reads send one request, and another after a change', async () => {
    const zk = await clients.connect();
    const writer = await clients.connect();
    const path = await freshNode(writer);
    await zk.sync(path);
    const first = await zk.cached(path);
    assert.equal(await zk.cached(path), first);
    assert.equal(await zk.cached(`${path}/none`), undefined);
    await writer.setData(path, bytes('2'));
    await writer.create(`${path}/none`, bytes('now'));
    await until('the change', async () => (await zk.cached(path))?.data.toString() === '2');
    await until('the creation', async () => (await zk.cached(`${path}/none`))?.data.toString() === 'now');
  });
});
