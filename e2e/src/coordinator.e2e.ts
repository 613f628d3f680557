import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/mesh';
import { crashAt, untilHit, waitMs, withMesh } from './support.ts';

const witnessFile = () => path.join(mkdtempSync(path.join(os.tmpdir(), 'thermomesh-e2e-')), 'witness');
const intact = { lost: 0, duplicated: 0, corrupted: 0 };

describe('the coordinator', () => {
  it('coordinator-killed-while-draining, at each crash point in turn: nothing acked is lost or stored twice', async () => {
    const witness = witnessFile();
    const env = {
      'node-5': crashAt('analytics.before-apply', witness, 5),
      'node-4': crashAt('analytics.after-commit', witness, 3),
      'node-3': crashAt('analytics.after-claim', witness),
      'node-2': crashAt('analytics.during-apply', witness, 3),
    };
    await withMesh({ env }, async (mesh) => {
      // Nobody comes back in between: a returning node 5 would win before node 3 has had its turn.
      for (const node of Object.keys(env)) mesh.hold(node);
      const load = mesh.startLoad({ devices: 50, rate: 1_000, seconds: 8 });
      // Each of them coordinates for some batches and dies; node 1 is what remains.
      for (const point of [
        'analytics.before-apply',
        'analytics.after-commit',
        'analytics.after-claim',
        'analytics.during-apply',
      ] as const) {
        await untilHit(witness, point);
      }
      for (const node of Object.keys(env)) mesh.release(node);
      const { document } = await mesh.judgeLoad(load);
      assert.ok(document.acked > 0 && document.acked === document.sent, JSON.stringify(document));
      assert.deepEqual(
        { lost: document.lost, duplicated: document.duplicated, corrupted: document.corrupted },
        intact,
      );
      const verdict = await mesh.verify();
      assert.ok(verdict.ok, JSON.stringify(verdict));
      // What was committed and not acknowledged came again, and was recognised.
      const [row] = await mesh.sql.query<{ redelivered: number }>(
        'SELECT sum(redelivered)::int AS redelivered FROM drain_batches',
      );
      assert.ok((row?.redelivered ?? 0) > 0, 'no redelivery was seen');
    });
  });

  it('paused-coordinator-cannot-commit-after-successor: paused between fence and COMMIT, it holds nobody up and writes nothing more', async () => {
    const witness = witnessFile();
    await withMesh(
      { env: { 'node-5': crashAt('analytics.during-apply', witness, 5, 'stop') } },
      async (mesh) => {
        const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 8 });
        await untilHit(witness, 'analytics.during-apply');
        const paused = await mesh.process('node-5');
        const [held] = await mesh.sql.query<{ epoch: number }>(
          'SELECT max(epoch) AS epoch FROM drain_batches WHERE node = 5',
        );
        const successor = await mesh.coordinator(held?.epoch);
        assert.notEqual(successor.node, 5);
        // The successor drains although the paused one still exists.
        await until({ what: 'a batch of the successor', timeoutMs: waitMs }, async () => {
          const [row] = await mesh.sql.query<{ n: number }>(
            'SELECT count(*)::int AS n FROM drain_batches WHERE epoch = $1',
            [successor.epoch],
          );
          return (row?.n ?? 0) > 0;
        });
        process.kill(paused.pid, 'SIGCONT');
        await until({ what: 'the woken coordinator to step down', timeoutMs: waitMs }, async () =>
          /election\.stepped_down|drain\.stale_write_refused/.test(
            readFileSync(mesh.logFile('node-5'), 'utf8'),
          ),
        );
        const { document } = await mesh.judgeLoad(load);
        assert.deepEqual(
          { lost: document.lost, duplicated: document.duplicated, corrupted: document.corrupted },
          intact,
        );
        const batches = await mesh.sql.query<{ epoch: number }>(
          'SELECT epoch FROM drain_batches ORDER BY id',
        );
        const epochs = batches.map(({ epoch }) => epoch);
        assert.deepEqual(
          epochs,
          [...epochs].sort((a, b) => a - b),
        );
        assert.ok((await mesh.verify()).ok);
      },
    );
  });

  it('all five nodes down for a while: the backlog waits at the gateway and drains when they are back', async () => {
    await withMesh({}, async (mesh) => {
      const nodes = [1, 2, 3, 4, 5].map((n) => `node-${n}`);
      for (const node of nodes) mesh.hold(node);
      await Promise.all(nodes.map((node) => mesh.kill(node)));
      const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 3 });
      await load.finished;
      const { counters } = await mesh.broker();
      assert.equal(counters.buffered, counters.accepted);
      assert.ok(counters.buffered >= 1_000);
      for (const node of nodes) mesh.release(node);
      const { document } = await mesh.judgeLoad(load);
      assert.deepEqual(
        { lost: document.lost, duplicated: document.duplicated, corrupted: document.corrupted },
        intact,
      );
      assert.equal(document.stored, document.sent);
      assert.ok((await mesh.verify()).ok);
    });
  });
});
