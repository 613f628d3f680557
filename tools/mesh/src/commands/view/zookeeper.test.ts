import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ZkKafkaDocument, ZkTreeDocument } from '@thermomesh/contracts';
import { renderKafka, renderTree } from './zookeeper.ts';

const node = (path: string, children: number | null = 0): ZkTreeDocument['nodes'][number] => ({
  path,
  version: 1,
  dataBytes: 2,
  children,
  ephemeralOwner: null,
});

describe('rendering of ZooKeeper', () => {
  it('a tree shows each node below its parent, closed nodes, and that there are more', () => {
    const nodes = [node('/', 2), node('/a', 1), node('/ab', null), node('/a/b')];
    assert.equal(
      renderTree({ path: '/', nodes, complete: false }),
      [
        '/  v1 2 B',
        '├─ a  v1 2 B',
        '│  └─ b  v1 2 B',
        '└─ ab  (no permission to read)',
        '… and more: --depth and --limit show it',
      ].join('\n'),
    );
  });

  it("Kafka's metadata marks what changed, and not what only has the same prefix", () => {
    const document: ZkKafkaDocument = {
      at: '',
      clusterId: 'c',
      controller: 1,
      controllerEpoch: 2,
      brokers: [],
      topics: [
        {
          name: 't',
          partitions: [
            {
              partition: 0,
              replicas: [1],
              leader: 8,
              leaderEpoch: 9,
              inSync: [1],
              controllerEpoch: 2,
              leaderAlive: true,
              underReplicated: false,
            },
          ],
        },
      ],
      changes: ['controller epoch 1 → 2', 't/0 leader epoch 8 → 9'],
    };
    const shown = renderKafka(document, false);
    assert.match(shown, /controller 1, epoch 2 \*/);
    assert.match(shown, /│ t\/0 +│ 8 +│ 9 \* +│/);
  });
});
