import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/mesh';
import { waitMs, withMesh } from './support.ts';

describe('PostgreSQL', () => {
  it('postgres-killed-mid-batch: nothing is acked, the backlog waits, and drains when it is back; nobody is deposed', async () => {
    await withMesh({ nodes: 3 }, async (mesh) => {
      // Nodes that have started far apart still hand over once; that is not PostgreSQL's doing.
      const before = await mesh.settled();
      const load = mesh.startLoad({ devices: 30, rate: 1_000, seconds: 8 });
      await load.sending;
      for (let round = 0; round < 2; round++) {
        await until({ what: 'batches to flow', timeoutMs: waitMs }, async () => {
          const rows = await mesh.sql
            .query<{ n: number }>('SELECT count(*)::int AS n FROM drain_batches')
            .catch(() => []);
          return (rows[0]?.n ?? 0) > 5;
        });
        await mesh.kill('postgres');
      }
      const { document } = await mesh.judgeLoad(load);
      assert.equal(document.acked, document.sent);
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
      assert.ok((await mesh.verify()).ok);
      assert.equal((await mesh.coordinator()).node, before.node);
    });
  });

  it('down for a while: the gateway goes on accepting, nodes neither crash nor elect', async () => {
    await withMesh({ nodes: 3 }, async (mesh) => {
      // Nodes that have started far apart still hand over once; that is not PostgreSQL's doing.
      const before = await mesh.settled();
      const pids = await Promise.all([1, 2, 3].map(async (n) => (await mesh.process(`node-${n}`)).pid));
      mesh.hold('postgres');
      await mesh.kill('postgres');
      const load = mesh.startLoad({ devices: 10, rate: 200, seconds: 5 });
      await load.finished;
      assert.equal((await mesh.broker()).counters.buffered, (await mesh.broker()).counters.accepted);
      mesh.release('postgres');
      const { document } = await mesh.judgeLoad(load);
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
      assert.deepEqual(await mesh.coordinator(), before);
      assert.deepEqual(
        await Promise.all([1, 2, 3].map(async (n) => (await mesh.process(`node-${n}`)).pid)),
        pids,
      );
    });
  });
});
