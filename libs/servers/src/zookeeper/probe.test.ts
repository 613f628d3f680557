import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSrvr } from './probe.ts';

describe('srvr', () => {
  it('a ZooKeeper server without a quorum counts as not serving', () => {
    assert.equal(parseSrvr('This ZooKeeper instance is not currently serving requests\n'), undefined);
    assert.equal(parseSrvr(''), undefined);
  });

  it('an answer to srvr that is cut short counts as none', () => {
    assert.equal(parseSrvr('Zookeeper version: 3.8.4\nZxid: 0x100000002\nMo'), undefined);
  });

  it('mode and last transaction are read from the answer to srvr', () => {
    const text = [
      'Zookeeper version: 3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c, built on 2024-02-12 22:16 UTC',
      'Latency min/avg/max: 0/0.0/0',
      'Received: 4',
      'Sent: 3',
      'Connections: 2',
      'Outstanding: 0',
      'Zxid: 0x100000002',
      'Mode: follower',
      'Node count: 5',
    ].join('\n');
    assert.deepEqual(parseSrvr(text), { mode: 'follower', zxid: '0x100000002', znodes: 5, connections: 2 });
  });
});
