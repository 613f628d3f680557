import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readMeshConfig } from '../../config.ts';
import { layoutOf } from '../../mesh/files/layout.ts';
import { ensurePaymentSecrets, ensureSecret } from '../../mesh/files/secrets.ts';
import { planPayments } from './payments-plan.ts';

const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-plan-'));
after(() => rmSync(home, { recursive: true, force: true }));

function planWith(redis: number, redisUrl?: string, zookeeperHosts: string | null = null) {
  const layout = layoutOf(home, 'plan');
  ensureSecret(layout);
  ensurePaymentSecrets(layout);
  const config = { ...readMeshConfig({}), home, redisUrl };
  const payments = { redis, processor: 1, billing: [2, 3] };
  const ports = { mqtt: 4, http: 5, postgres: 6, nodes: [], payments };
  const common = { fleetDevices: 0, proxied: false, payments: true, extraEnv: {}, notice: () => undefined };
  return planPayments(
    { name: 'plan', config, layout, ports, ...common },
    {
      databaseUrl: () => 'postgresql://h/d',
      zookeeperHosts: () => zookeeperHosts,
    },
  );
}

describe('the payment part of the plan', () => {
  it('the gateway knows the address of Redis early, and has no checkout without Redis', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    const { port } = squatter.address() as AddressInfo;
    try {
      const plan = planWith(port);
      assert.equal(plan.redisUrl(), null);
      const { REDIS_URL, BILLING_URLS, CHECKOUT_QUEUE } = plan.checkoutEnv();
      assert.match(REDIS_URL ?? '', new RegExp(`^redis://:[\\w-]{32,}@127\\.0\\.0\\.1:${port}/0$`));
      assert.equal(BILLING_URLS, 'http://127.0.0.1:2,http://127.0.0.1:3');
      assert.equal(CHECKOUT_QUEUE, 'checkouts-plan');
      const [spec] = plan.redis.specs;
      assert.ok(spec !== undefined);
      await assert.rejects(spec.launch(1), { code: 'redis.start_failed' });
      assert.equal(plan.redisUrl(), null);
      assert.deepEqual(plan.checkoutEnv(), {});
    } finally {
      squatter.close();
    }
  });

  it('an external Redis is used as it is and never started', () => {
    const plan = planWith(1, 'redis://:p@elsewhere:6379/3');
    assert.deepEqual(plan.redis.specs, []);
    assert.equal(plan.redisUrl(), 'redis://:p@elsewhere:6379/3');
    assert.equal(plan.checkoutEnv()['REDIS_URL'], 'redis://:p@elsewhere:6379/3');
  });

  it('the gateway finds billing in ZooKeeper, and keeps the static addresses too', () => {
    const redisUrl = 'redis://elsewhere:6379/3';
    assert.equal('ZOOKEEPER_HOSTS' in planWith(1, redisUrl).checkoutEnv(), false);
    const environment = planWith(1, redisUrl, 'zk:2181').checkoutEnv();
    assert.equal(environment['ZOOKEEPER_HOSTS'], 'zk:2181');
    assert.equal(environment['SERVICES_PATH'], '/thermomesh/plan/services');
    assert.equal(environment['BILLING_URLS'], 'http://127.0.0.1:2,http://127.0.0.1:3');
  });
});
