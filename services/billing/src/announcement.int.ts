import assert from 'node:assert/strict';
import { it } from 'node:test';
import { findBilling } from '@thermomesh/billing-client/discovery';
import { createLog } from '@thermomesh/runtime';
import { sharedZooKeeper } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { readBillingConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';
import { meshSecret, quickSettings } from './testing.ts';

const unusedUrl = 'http://127.0.0.1:1';

it('a replica is found while it runs, even without PostgreSQL', async () => {
  const zookeeper = await sharedZooKeeper();
  const path = `${zookeeper.root}/services`;
  const finder = findBilling({
    hosts: zookeeper.hosts,
    path,
    sessionTimeoutMs: 4_000,
    secret: meshSecret,
    staticUrls: [unusedUrl],
    onChanged: () => undefined,
    onError: (error) => assert.fail(String(error)),
  });
  finder.start();
  const settings = quickSettings('postgresql://127.0.0.1:1/nowhere', unusedUrl);
  const config = readBillingConfig({ ...settings, ZOOKEEPER_HOSTS: zookeeper.hosts, SERVICES_PATH: path });
  const replica = await createService(settingsOf(config), createLog('billing', 'silent'));
  try {
    await replica.start();
    const url = `http://127.0.0.1:${replica.httpPort}`;
    await until('the replica to be found', () => finder.urls().join() === url);
    await replica.stop();
    await until('the replica to be withdrawn', () => finder.urls().join() === unusedUrl);
  } finally {
    await replica.stop();
    await finder.stop();
    await zookeeper.release();
  }
});
