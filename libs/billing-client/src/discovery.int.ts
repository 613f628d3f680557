import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { ServiceDiscovery, ZooKeeper } from '@thermomesh/zookeeper';
import { announceBilling, findBilling, type Announcement, type BillingFinder } from './discovery.ts';

const secret = 'the mesh secret, at least thirty-two characters';
const staticUrls = ['http://127.0.0.1:1', 'http://127.0.0.1:2'];
/** Long enough that no session expires in a test. */
const sessionTimeoutMs = 10_000;

let server: TestEnsemble;
let places = 0;
let path: string;
let cleanUps: (() => Promise<void>)[] = [];
let changes: string[] = [];

before(async () => {
  server = await testZooKeeper();
});
afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
  [cleanUps, changes] = [[], []];
});
after(async () => server.remove());

const place = () => ({
  hosts: server.hosts,
  path,
  sessionTimeoutMs,
  secret,
  onError: (error: unknown) => void changes.push(String(error)),
});

function newPlace(): void {
  places += 1;
  path = `/thermomesh/test-${places}/services`;
}

function announce(replica: string, port: number, more: { secret?: string } = {}): Announcement {
  const announcement = announceBilling({ ...place(), replica, address: '127.0.0.1', port, ...more });
  cleanUps.push(async () => announcement.withdraw());
  return announcement;
}

function find(more: { hosts?: string } = {}): BillingFinder {
  const onChanged = (urls: readonly string[]) => void changes.push(urls.join());
  const finder = findBilling({ ...place(), staticUrls, onChanged, ...more });
  cleanUps.push(async () => finder.stop());
  finder.start();
  return finder;
}

const untilUrls = async (finder: BillingFinder, ...urls: string[]) =>
  until(urls.join(), () => finder.urls().join() === urls.join());
const at = (port: number) => `http://127.0.0.1:${port}`;

describe('replicas of billing', () => {
  it('replicas are found as they come and go; with none listed the static URLs hold', async () => {
    newPlace();
    const finder = find();
    assert.deepEqual(finder.urls(), staticUrls);
    const one = announce('billing-1', 7001);
    await untilUrls(finder, at(7001));
    announce('billing-2', 7002);
    await untilUrls(finder, at(7001), at(7002));
    await one.withdraw();
    await untilUrls(finder, at(7002));
    await cleanUps.pop()?.();
    await untilUrls(finder, ...staticUrls);
  });

  it('an announcement without the secret of the mesh gets no payments', async () => {
    newPlace();
    const finder = find();
    announce('rogue', 6666, { secret: 'another secret of at least thirty-two characters' });
    announce('billing-1', 7001);
    await untilUrls(finder, at(7001));
    // A copied proof is invalid at another address, and so is an absent one.
    const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs });
    zk.start();
    cleanUps.push(async () => zk.close());
    const look = new ServiceDiscovery(zk, { path, service: 'billing' }).start();
    await look.ready();
    const [copied] = look.instances(({ id }) => id === 'billing-1');
    assert.ok(copied !== undefined);
    for (const [id, metadata] of [
      ['billing-0', copied.metadata],
      ['billing-00', {}],
    ] as const) {
      const self = { id, instance: { address: '127.0.0.1', port: 6667, metadata } };
      const rogue = new ServiceDiscovery(zk, { path, service: 'billing', self }).start();
      await until('the rogue is listed', () => rogue.announced);
    }
    announce('billing-2', 7002);
    await untilUrls(finder, at(7001), at(7002));
    assert.deepEqual(
      changes.filter((line) => line.includes('666')),
      [],
    );
  });

  it('an outage of ZooKeeper keeps the last list, and replicas are listed again after', async () => {
    newPlace();
    const finder = find();
    const replicas = [announce('billing-1', 7001), announce('billing-2', 7002)];
    await untilUrls(finder, at(7001), at(7002));
    await server.members[0]!.kill();
    await until('the outage', () => replicas.every(({ announced }) => !announced));
    assert.deepEqual(finder.urls(), [at(7001), at(7002)]);
    await server.members[0]!.restart();
    await until('listed again', () => replicas.every(({ announced }) => announced));
    await untilUrls(finder, at(7001), at(7002));
    announce('billing-3', 7003);
    await untilUrls(finder, at(7001), at(7002), at(7003));
  });

  it('without ZooKeeper the static URLs hold, and stopping does not wait', async () => {
    newPlace();
    const finder = find({ hosts: '127.0.0.1:1' });
    assert.deepEqual(finder.urls(), staticUrls);
    await finder.stop();
    assert.deepEqual(finder.urls(), staticUrls);
  });
});
