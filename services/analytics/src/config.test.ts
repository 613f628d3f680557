import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readNodeConfig } from './config.ts';

const good = {
  NODE_ID: '2',
  PEERS: '1=http://127.0.0.1:7001,2=http://127.0.0.1:7002,3=http://127.0.0.1:7003',
  MESH_SECRET: 'a secret of at least thirty-two characters',
  DATABASE_URL: 'postgres://user:password@127.0.0.1:5432/db',
  MQTT_URL: 'mqtt://127.0.0.1:1884',
};

describe('settings of a node', () => {
  it('the peers and the gateway are read from the settings', () => {
    const config = readNodeConfig(good);
    assert.deepEqual(config.peers, [
      { nodeId: 1, url: 'http://127.0.0.1:7001' },
      { nodeId: 3, url: 'http://127.0.0.1:7003' },
    ]);
    assert.deepEqual(config.mqtt, { host: '127.0.0.1', port: 1884 });
  });

  it('all issues are reported at once, including those between settings', () => {
    const bad = {
      ...good,
      PEERS: '1=nowhere',
      LEASE_MS: '100',
      REJECTED_RAW_BYTES_MAX: '5000',
      PLAUSIBLE_CELSIUS_MIN: '30.5',
      PLAUSIBLE_CELSIUS_MAX: '30',
      REJECTED_BYTES_PER_KIND_MAX: '4999',
      LEASE_RENEW_MS: '200',
      CRASH_POINT: 'nowhere',
    };
    assert.throws(
      () => readNodeConfig(bad),
      (error: Error) => {
        for (const part of [
          /PEERS must read/,
          /LEASE_RENEW_MS \(200\) must be below LEASE_MS \(100\)/,
          /CRASH_POINT/,
          /PLAUSIBLE_CELSIUS_MIN \(30.5\) must be below PLAUSIBLE_CELSIUS_MAX \(30\)/,
          /REJECTED_RAW_BYTES_MAX must not be above REJECTED_BYTES_PER_KIND_MAX/,
        ])
          assert.match(error.message, part);
        return true;
      },
    );
    assert.throws(
      () => readNodeConfig({}),
      (error: Error) => {
        for (const name of ['NODE_ID', 'PEERS', 'MESH_SECRET', 'DATABASE_URL', 'MQTT_URL'])
          assert.match(error.message, new RegExp(name));
        return true;
      },
    );
    assert.throws(() => readNodeConfig({ ...good, NODE_ID: '9' }), /PEERS must name this node too/);
  });

  it('only an election by ZooKeeper requires ZOOKEEPER_HOSTS', () => {
    const config = readNodeConfig(good);
    assert.deepEqual([config.ELECTION, config.ZOOKEEPER_HOSTS], ['bully', undefined]);
    assert.equal(config.ownUrl, 'http://127.0.0.1:7002');
    const elected = { ...good, ELECTION: 'zookeeper' };
    assert.throws(() => readNodeConfig(elected), /ELECTION=zookeeper needs ZOOKEEPER_HOSTS/);
    assert.throws(() => readNodeConfig({ ...elected, ZOOKEEPER_HOSTS: 'zk' }), /ZOOKEEPER_HOSTS/);
    assert.throws(() => readNodeConfig({ ...good, ELECTION: 'paxos' }), /ELECTION/);
    const hosts = '127.0.0.1:2181,zk-2:2181';
    assert.equal(readNodeConfig({ ...elected, ZOOKEEPER_HOSTS: hosts }).ZOOKEEPER_HOSTS, hosts);
  });

  it('a static batch limit that the queue cannot hold is refused', () => {
    const bad = { ...good, DRAIN_BATCH_BYTES_MAX: '8192', DRAIN_QUEUE_BYTES_MAX: '4096' };
    assert.throws(
      () => readNodeConfig(bad),
      /batchBytesMax \(8192\) must not be above DRAIN_QUEUE_BYTES_MAX/,
    );
    assert.throws(() => readNodeConfig({ ...good, DRAIN_BATCH_ROWS_MAX: '20001' }), /DRAIN_BATCH_ROWS_MAX/);
  });

  it('a paused writer must lose its locks before the others notice it (I2)', () => {
    assert.throws(
      () => readNodeConfig({ ...good, SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS: '5000' }),
      /SQL_IDLE_IN_TRANSACTION_TIMEOUT_MS/,
    );
  });
});
