import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/mesh/testing';
import { assertIntact, assertKept, waitMs, withMesh } from './support.ts';

describe('PostgreSQL', () => {
  it('PostgreSQL killed mid-batch loses no acked reading and deposes no coordinator', async () => {
    await withMesh({ nodes: 3 }, async (mesh) => {
      // Nodes that start far apart hand over once, for reasons other than PostgreSQL.
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
      assertIntact(document);
      assertKept(await mesh.verify());
      assert.equal((await mesh.coordinator()).node, before.node);
    });
  });

  it('while PostgreSQL is down, the gateway accepts and no node crashes or elects', async () => {
    await withMesh({ nodes: 3 }, async (mesh) => {
      // Nodes that start far apart hand over once, for reasons other than PostgreSQL.
      const before = await mesh.settled();
      const pids = await Promise.all([1, 2, 3].map(async (n) => (await mesh.process(`node-${n}`)).pid));
      mesh.hold('postgres');
      await mesh.kill('postgres');
      const load = mesh.startLoad({ devices: 10, rate: 200, seconds: 5 });
      await load.finished;
      assert.equal((await mesh.broker()).counters.buffered, (await mesh.broker()).counters.accepted);
      mesh.release('postgres');
      const { document } = await mesh.judgeLoad(load);
      assertIntact(document);
      assert.deepEqual(await mesh.coordinator(), before);
      assert.deepEqual(
        await Promise.all([1, 2, 3].map(async (n) => (await mesh.process(`node-${n}`)).pid)),
        pids,
      );
    });
  });
});
