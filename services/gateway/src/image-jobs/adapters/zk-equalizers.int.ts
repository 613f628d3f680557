import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { deriveToken } from '@thermomesh/runtime';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { ServiceDiscovery, ZooKeeper } from '@thermomesh/zookeeper';
import { findEqualizers } from './zk-equalizers.ts';

const secret = 'the mesh secret, at least thirty-two characters';
/** Long enough that no session expires during the test. */
const sessionTimeoutMs = 10_000;
const place = { path: '/thermomesh/test/services', sessionTimeoutMs };
const staticUrls = ['http://127.0.0.1:1'];

let server: TestEnsemble;
before(async () => {
  server = await testZooKeeper();
});
after(async () => server.remove());

it('only nodes with a proof are used; known nodes stay through an outage', async () => {
  const changes: string[] = [];
  const finder = findEqualizers({
    ...place,
    hosts: server.hosts,
    secret,
    staticUrls,
    onChanged: (urls) => changes.push(urls.join()),
    onError: (error) => changes.push(String(error)),
  });
  const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs });
  zk.start();
  const list = (id: string, port: number, proof: string) => {
    const self = { id, instance: { address: '127.0.0.1', port, metadata: { proof } } };
    return new ServiceDiscovery(zk, { path: place.path, service: 'equalizer', self }).start();
  };
  const proofOf = (id: string, port: number) =>
    deriveToken(secret, `announcement:equalizer:${id}:127.0.0.1:${port}`);
  assert.deepEqual(finder.urls(), staticUrls);
  finder.start();
  const rogues = [
    list('equalizer-0', 6_666, ''),
    list('equalizer-00', 6_667, proofOf('equalizer-1', 7_001)),
    list('equalizer-000', 6_668, deriveToken(secret, 'announcement:billing:equalizer-000:127.0.0.1:6668')),
  ];
  await until('the rogues', () => rogues.every(({ announced }) => announced));
  const nodes = [1, 2].map((number) =>
    list(`equalizer-${number}`, 7_000 + number, proofOf(`equalizer-${number}`, 7_000 + number)),
  );
  const both = ['http://127.0.0.1:7001', 'http://127.0.0.1:7002'];
  await until('both', () => finder.urls().join() === both.join());
  await nodes[0]!.close();
  await until('one', () => finder.urls().join() === both[1]);
  await nodes[1]!.close();
  await until('no listed node', () => finder.urls().join() === staticUrls.join());
  const again = list('equalizer-1', 7_001, proofOf('equalizer-1', 7_001));
  await until('the one that is back', () => finder.urls().join() === both[0]);
  await server.members[0]!.kill();
  await until('the outage', () => !again.announced);
  assert.deepEqual(finder.urls(), [both[0]]);
  assert.deepEqual(
    changes.filter((line) => line.includes('666')),
    [],
  );
  await finder.stop();
  await finder.stop();
  await zk.close();
  for (const listed of [...rogues, again]) await listed.close();
});
