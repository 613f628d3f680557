import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NodeData, Stat } from '@thermomesh/zookeeper';
import { rowOf } from './members.ts';

const node = (content: unknown, ephemeralOwner = 42n): NodeData => ({
  data: Buffer.from(JSON.stringify({ guid: 'g', content })),
  stat: { ephemeralOwner, createdAtMs: 0 } as Stat,
});
const since = { session: '42', joinedAt: '1970-01-01T00:00:00.000Z' };

describe('members as ZooKeeper lists them', () => {
  it('a node lists address, version and flavour, an older node lists less', () => {
    const word = { fit: true, leads: 7 };
    const about = { url: 'http://127.0.0.1:8081', version: '0.1.0', flavour: 'analytics/bully' };
    assert.deepEqual(rowOf('analytics', '1', node({ ...about, ...word })), {
      group: 'analytics',
      id: '1',
      address: about.url,
      version: '0.1.0',
      flavour: 'analytics/bully',
      ...word,
      ...since,
    });
    const older = rowOf('analytics', '1', node(word));
    assert.deepEqual([older?.address, older?.version, older?.flavour], [null, null, null]);
  });

  it('a service shows no other metadata, as its proof is only for its callers', () => {
    const metadata = { proof: 'secret', version: '2' };
    const row = rowOf('billing', 'billing-1', node({ address: '127.0.0.1', port: 9, metadata }));
    assert.deepEqual(row, {
      group: 'billing',
      id: 'billing-1',
      address: '127.0.0.1:9',
      version: '2',
      flavour: null,
      fit: null,
      leads: null,
      ...since,
    });
  });

  it('a persistent or unreadable node is not a member', () => {
    const word = { fit: true, leads: null };
    assert.equal(rowOf('analytics', '1', node(word, 0n)), undefined);
    assert.equal(rowOf('analytics', '1', undefined), undefined);
    assert.equal(rowOf('analytics', '1', node({ leads: 'all of them' })), undefined);
    assert.equal(rowOf('billing', '1', node('here')), undefined);
  });
});
