import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { it } from 'node:test';
import { findBilling } from '@thermomesh/billing-client/discovery';
import { createLog } from '@thermomesh/runtime';
import { sharedZooKeeper } from '@thermomesh/servers';
import { readBillingConfig } from './config.ts';
import { createService } from './service.ts';
import { meshSecret, quickSettings } from './testing.ts';

const nobody = 'http://127.0.0.1:1';
const waitMs = 15_000;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `waited ${waitMs} ms for: ${what}`);
    await delay(10);
  }
}

it('a replica is found at the port that it took, also while PostgreSQL is away, and no longer once it has stopped', async () => {
  const zookeeper = await sharedZooKeeper();
  const path = `${zookeeper.root}/services`;
  const finder = findBilling({
    ...{ hosts: zookeeper.hosts, path, sessionTimeoutMs: 4_000, secret: meshSecret, staticUrls: [nobody] },
    onChanged: () => undefined,
    onFault: (error) => assert.fail(String(error)),
  });
  finder.start();
  const settings = quickSettings('postgresql://127.0.0.1:1/nowhere', nobody);
  const config = readBillingConfig({ ...settings, ZOOKEEPER_HOSTS: zookeeper.hosts, SERVICES_PATH: path });
  const replica = await createService(config, createLog('billing', 'silent'));
  try {
    await replica.start();
    const url = `http://127.0.0.1:${replica.httpPort}`;
    await until('it is found', () => finder.urls().join() === url);
    await replica.stop();
    await until('it is withdrawn', () => finder.urls().join() === nobody);
  } finally {
    await replica.stop();
    await finder.stop();
    await zookeeper.release();
  }
});
