import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readMeshConfig } from '../config.ts';
import { usageOf } from '../testing/usage.ts';
import { findZooKeeper, needZooKeeper, readCredentials } from '../zookeeper/place.ts';

describe('mesh zk on the command line', () => {
  it('every zk and demo subcommand has help', async () => {
    for (const name of ['tree', 'get', 'set', 'create', 'delete', 'watch', 'stat', 'kafka'])
      assert.equal(await usageOf('zk', name, '--help'), 0, name);
    for (const name of ['herd', 'philosophers']) assert.equal(await usageOf('demo', name, '--help'), 0, name);
  });

  it('wrong usage of zk and demo is refused before a connection is made', async () => {
    for (const words of [
      ['zk', 'get'],
      ['zk', 'get', '/x', '--format', 'xml'],
      ['zk', 'set', '/x', 'y', '--version', '-1'],
      ['zk', 'create', '/x', '--acl', 'mine'],
      ['zk', 'watch', '/x', '--count', '0'],
      ['zk', 'delete', '/x', '--force'],
      ['demo', 'herd', '--nodes', '1'],
      ['demo', 'philosophers', '--seconds', '0'],
    ]) {
      assert.notEqual(await usageOf(...words), 0, words.join(' '));
    }
  });
});

describe('choice of a ZooKeeper', () => {
  const config = { ...readMeshConfig({}), home: '/nowhere' };

  it('--hosts comes before the environment; without ZooKeeper one line says what to do', () => {
    const configured = { ...config, zookeeperHosts: 'b:1' };
    assert.equal(findZooKeeper(configured, { name: 'main', hosts: 'a:1/x' })?.hosts, 'a:1/x');
    assert.equal(findZooKeeper(configured, { name: 'main' })?.hosts, 'b:1');
    assert.throws(() => needZooKeeper(config, { name: 'main' }), {
      code: 'zookeeper.absent',
      message: /^[^\n]*mesh up[^\n]*--hosts[^\n]*$/,
    });
    assert.throws(() => needZooKeeper(config, { name: 'main', hosts: 'a' }), { code: 'usage' });
  });

  it('a secret on the command line is refused and not repeated', () => {
    assert.throws(
      () => readCredentials(config, 'main', 'me:secret'),
      (error: Error) => !error.message.includes('secret') || assert.fail(error.message),
    );
  });
});
