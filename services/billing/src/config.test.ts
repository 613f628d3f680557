import assert from 'node:assert/strict';
import { it } from 'node:test';
import { announcedHost } from '@thermomesh/runtime';
import { readBillingConfig } from './config.ts';

const good = {
  MESH_SECRET: 'm'.repeat(32),
  BILLING_SECRET: 'b'.repeat(32),
  PROCESSOR_SECRET: 'p'.repeat(32),
  PROCESSOR_URL: 'http://127.0.0.1:1',
  DATABASE_URL: 'postgresql://127.0.0.1/x',
};

it('the default settings fit together', () => {
  assert.equal(readBillingConfig(good).REPLICA, 'billing-1');
});

it('a wildcard address is not announced', () => {
  const everywhere = { ...good, HTTP_HOST: '0.0.0.0' };
  assert.equal(announcedHost(readBillingConfig(everywhere)), undefined);
  const listed = { ...everywhere, ZOOKEEPER_HOSTS: '127.0.0.1:2181' };
  assert.throws(() => readBillingConfig(listed), /ANNOUNCED_HOST/);
  const config = readBillingConfig({ ...listed, ANNOUNCED_HOST: 'billing-1' });
  assert.equal(announcedHost(config), 'billing-1');
  assert.equal(announcedHost(readBillingConfig(good)), '127.0.0.1');
});

it('all issues are reported at once', () => {
  const bad = {
    ...good,
    BILLING_SECRET: good.MESH_SECRET,
    LEASE_MS: '1000',
    KEY_RETENTION_DAYS: '30',
    GATHER_OPERATIONS_MAX: '64',
    GATHER_WAITING_MAX: '63',
    CRASH_POINT: 'nowhere',
  };
  assert.throws(
    () => readBillingConfig(bad),
    /LEASE_MS[^]*KEY_RETENTION_DAYS[^]*GATHER_WAITING_MAX[^]*BILLING_SECRET[^]*CRASH_POINT/,
  );
});
