import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChaosDocument, ZkChangeDocument, ZkKafkaDocument, ZkMembersDocument } from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh/testing';
import { cliOf } from './cli-support.ts';
import { waitMs, withMesh } from './support.ts';

/** Three brokers, and one process of every other kind. */
const shape = { nodes: 1, coordination: { zookeeper: 1, kafka: 3 } } as const;

describe('mesh zk kafka, while mesh chaos kafka runs', () => {
  it('mesh zk kafka shows how a killed broker leaves its partitions and returns', async () => {
    await withMesh(shape, async ({ home, mesh }) => {
      const { json, follow } = cliOf(() => ({ ...process.env, MESH_HOME: home, ZOOKEEPER_HOSTS: '' }));
      const name = ['--name', mesh.name];
      const watch = follow(ZkKafkaDocument, 'zk', 'kafka', '--watch', ...name);
      const seen = async (what: string, holds: (now: ZkKafkaDocument) => boolean) =>
        until({ what, timeoutMs: waitMs }, async () => {
          const now = watch.documents.at(-1);
          return now !== undefined && holds(now) ? now : undefined;
        });
      const partitionsOf = ({ topics }: ZkKafkaDocument) =>
        topics.find((topic) => topic.name === 'e2e-topic')?.partitions ?? [];
      try {
        await seen('three brokers', ({ brokers }) => brokers.length === 3);
        // Each broker leads one partition. Kafka's own tools created topics so while they used
        // ZooKeeper.
        const topic = '{"version":1,"partitions":{"0":[1,2,3],"1":[2,3,1],"2":[3,1,2]}}';
        await json(ZkChangeDocument, 'zk', 'create', '/brokers/topics/e2e-topic', topic, ...name);
        const whole = (now: ZkKafkaDocument) => {
          const partitions = partitionsOf(now);
          return partitions.length === 3 && partitions.every(({ inSync }) => inSync.length === 3);
        };
        const before = await seen('three leaders', whole);
        assert.deepEqual(
          partitionsOf(before).map(({ leader }) => leader),
          [1, 2, 3],
        );
        const from = watch.documents.length;
        const [document] = await Promise.all([
          json(ChaosDocument, 'chaos', 'kafka', ...name),
          seen('one to be out of sync', (now) => partitionsOf(now).some(({ inSync }) => inSync.length === 2)),
        ]);
        assert.ok(document.ok, JSON.stringify(document));
        await seen('all to be in sync again', (now) => whole(now) && now.brokers.length === 3);

        const between = watch.documents.slice(from);
        const gone = [1, 2, 3].find((id) =>
          between.some(({ changes }) => changes.includes(`broker ${id} is gone`)),
        );
        assert.ok(gone !== undefined, 'no broker was seen to leave');
        const without = between.some((now) =>
          partitionsOf(now).every(({ leader, inSync }) => leader !== gone && !inSync.includes(gone)),
        );
        assert.ok(without, `broker ${gone} was never out of all partitions`);
        const after = partitionsOf(watch.documents.at(-1) ?? before);
        assert.ok(after.every(({ leaderAlive, underReplicated }) => leaderAlive && !underReplicated));
        // The broker that led the killed broker's partition led it under a higher epoch.
        const led = after.find(({ partition }) => partition === gone - 1);
        assert.ok((led?.leaderEpoch ?? 0) > 0 && led?.leader !== null, JSON.stringify(led));

        const { members } = await json(ZkMembersDocument, 'zk', 'members', ...name);
        const [node] = members.filter(({ group }) => group === 'analytics');
        assert.deepEqual([node?.id, node?.flavour, typeof node?.version], ['1', 'analytics/bully', 'string']);
      } finally {
        watch.child.kill('SIGINT');
        await watch.ended;
      }
    });
  });
});
