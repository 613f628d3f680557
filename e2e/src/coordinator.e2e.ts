import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { until, type MeshHandle } from '@thermomesh/mesh';
import type { CrashPoint } from '@thermomesh/runtime';
import { crashAt, untilHit, waitMs, withMesh } from './support.ts';

const witnesses = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-e2e-'));
after(() => rmSync(witnesses, { recursive: true }));
const intact = { lost: 0, duplicated: 0, corrupted: 0 };

/** For a node whose first claim must not be one at the start of the mesh, and for those below it, who would ask it to elect. */
const late = { SETTLE_MS: '15000', PREEMPT_HOLD_MS: '20000' };

/** Where each node in turn hangs while it coordinates. */
const hangs: [node: string, point: CrashPoint, nth: number][] = [
  ['node-5', 'analytics.before-apply', 5],
  ['node-4', 'analytics.during-apply', 3],
  ['node-3', 'analytics.after-commit', 3],
  ['node-2', 'analytics.after-claim', 1],
];

/** What was committed in each epoch, in the order of epochs. */
const epochsOf = (mesh: MeshHandle) =>
  mesh.sql.query<{ epoch: number; node: number; batches: number; lastId: number }>(
    'SELECT epoch, node, count(*)::int AS batches, max(id) AS "lastId" FROM drain_batches GROUP BY epoch, node ORDER BY epoch',
  );

describe('the coordinator', () => {
  it('coordinator-killed-while-draining, at each crash point in turn: nothing acked is lost or stored twice', async () => {
    const witness = path.join(witnesses, 'killed');
    const env = {
      'node-5': crashAt('analytics.before-apply', witness, 5),
      'node-4': crashAt('analytics.after-commit', witness, 3),
      'node-3': { ...crashAt('analytics.after-claim', witness), ...late },
      'node-2': { ...crashAt('analytics.during-apply', witness, 3), ...late },
    };
    await withMesh({ env: { ...env, 'node-1': late } }, async (mesh) => {
      await mesh.settled();
      // Nobody comes back in between: a returning node 5 would win before node 3 has had its turn.
      for (const node of Object.keys(env)) mesh.hold(node);
      const load = mesh.startLoad({ devices: 50, rate: 1_000, seconds: 600 });
      // Each of them coordinates for some batches and dies; node 1 is what remains.
      for (const point of [
        'analytics.before-apply',
        'analytics.after-commit',
        'analytics.after-claim',
        'analytics.during-apply',
      ] as const) {
        await untilHit(witness, point);
      }
      load.finish();
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

  it('paused-coordinator-cannot-commit-after-successor, at each crash point in turn: it holds nobody up, and when it wakes it writes nothing more', async () => {
    const witness = path.join(witnesses, 'paused');
    const hanging = hangs.map(([node, point, nth]) => [node, crashAt(point, witness, nth, 'stop')] as const);
    const env: Record<string, Record<string, string>> = { 'node-1': late, ...Object.fromEntries(hanging) };
    env['node-2'] = { ...env['node-2'], ...late };
    await withMesh({ env, environment: { PREEMPT_HOLD_MS: '2000' } }, async (mesh) => {
      await mesh.settled();
      const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 600 });
      // Each of them coordinates until it hangs, beside those that hang already; node 1 is what remains.
      for (const [, point] of hangs) await untilHit(witness, point);
      const paused = await Promise.all(hangs.map(([node]) => mesh.process(node)));
      await until({ what: 'a batch of the last successor', timeoutMs: waitMs }, async () => {
        return (await epochsOf(mesh)).some(({ node }) => node === 1);
      });
      const before = (await epochsOf(mesh)).filter(({ node }) => node !== 1);
      // The one that hung behind its claim has committed nothing in its epoch.
      assert.deepEqual(
        before.map(({ node }) => node),
        [5, 4, 3],
      );
      for (const { pid } of paused) process.kill(pid, 'SIGCONT');
      for (const [node] of hangs) {
        await until({ what: `the woken ${node} to step down`, timeoutMs: waitMs }, async () =>
          /election\.stepped_down|drain\.stale_write_refused/.test(readFileSync(mesh.logFile(node), 'utf8')),
        );
      }
      // The highest of them takes over again, in order.
      const { epoch } = await mesh.settled();
      await until({ what: 'a batch of the highest', timeoutMs: waitMs }, async () => {
        return (await epochsOf(mesh)).some((row) => row.epoch === epoch);
      });
      load.finish();
      const { document } = await mesh.judgeLoad(load);
      assert.equal(document.stored, document.sent);
      assert.deepEqual(
        { lost: document.lost, duplicated: document.duplicated, corrupted: document.corrupted },
        intact,
      );
      assert.deepEqual((await epochsOf(mesh)).slice(0, before.length), before);
      const verdict = await mesh.verify();
      assert.ok(verdict.ok, JSON.stringify(verdict));
    });
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
