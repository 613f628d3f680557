import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import { DynamicConfig } from './dynamic-config.ts';

const { clients, freshPath } = useZooKeeper();

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

  it('all clients get what the admin publishes, and only the admin can write it', async () => {
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
    await until('all', () =>
      readers.every(({ current }) => current.value.rowsMax === 300 && current.version === first + 1),
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

  it('no one but the admin can write before the first publication; a plant is ignored', async () => {
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
    assert.match(String(await failed.promise), /belongs to someone else/);
    await assert.rejects(foreign.ready(), { code: 'zookeeper.no_auth' });
    await foreign.close();
  });

  it('a first value is published by one of several starters and undoes no change', async () => {
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
    await until('the first', () => reader.current.value.rowsMax === winner);
    await admins[0]?.config.publish({ rowsMax: 50 });
    assert.equal(await admins[1]?.config.seed({ rowsMax: 7 }), false);
    await until('the change', () => reader.current.value.rowsMax === 50);
  });

  it('an invalid document is reported and changes nothing, and neither does an outage', async () => {
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
    await until('the first', () => config.current.version === 0);
    await other.setData(`${path}/value`, Buffer.from('{"rowsMax":"many"}'));
    await until('the report', () => rejected.length === 1);
    assert.match(rejected[0] ?? '', /version 1 is not a valid configuration: rowsMax must be/);
    await link.set({ ...passing, state: 'cut' });
    await until('the outage', () => !config.fresh);
    assert.deepEqual(config.current, { value: { rowsMax: 2 }, version: 0 });
    await other.delete(`${path}/value`);
    await publisher.publish({ rowsMax: 3 });
    await link.set(passing);
    await until('another node with the same version', () => config.current.value.rowsMax === 3);
    assert.equal(config.current.version, 0);
  });
});
