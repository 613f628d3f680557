/**
 * The coordinator dies or hangs at each of its crash points in turn. The promises are the same for
 * both elections.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readMembers, until, type MeshHandle } from '@thermomesh/mesh/testing';
import type { CrashPoint } from '@thermomesh/runtime';
import { assertIntact, assertKept, crashAt, type Election, waitMs, withMesh, witnessed } from '../support.ts';

/**
 * Settings of a node that must not claim at the start of the mesh, and of the nodes below it, which
 * would ask it to elect.
 */
const late = { SETTLE_MS: '15000', PREEMPT_HOLD_MS: '20000' };

type Stops = readonly (readonly [node: string, point: CrashPoint, nth: number])[];

/**
 * Where each node dies while it coordinates. Bully's order is known; in a queue any node may be
 * next, so each node dies.
 */
const deaths: Record<Election, Stops> = {
  bully: [
    ['node-5', 'analytics.before-apply', 5],
    ['node-4', 'analytics.after-commit', 3],
    ['node-3', 'analytics.after-claim', 1],
    ['node-2', 'analytics.during-apply', 3],
  ],
  zookeeper: [
    ['node-5', 'analytics.before-apply', 5],
    ['node-4', 'analytics.after-commit', 3],
    ['node-3', 'analytics.after-claim', 1],
    ['node-2', 'analytics.during-apply', 3],
    ['node-1', 'analytics.after-commit', 2],
  ],
};

/**
 * Where each node hangs while it coordinates. No node may hang before the mesh is up, so none hangs
 * after its claim in a queue: the first coordinator would.
 */
const hangs: Record<Election, Stops> = {
  bully: [
    ['node-5', 'analytics.before-apply', 5],
    ['node-4', 'analytics.during-apply', 3],
    ['node-3', 'analytics.after-commit', 3],
    ['node-2', 'analytics.after-claim', 1],
  ],
  zookeeper: [
    ['node-5', 'analytics.before-apply', 5],
    ['node-4', 'analytics.during-apply', 3],
    ['node-3', 'analytics.after-commit', 3],
    ['node-2', 'analytics.before-apply', 3],
    ['node-1', 'analytics.during-apply', 5],
  ],
};

/** The batches that were committed in each epoch, in the order of epochs. */
const epochsOf = (mesh: MeshHandle) =>
  mesh.sql.query<{ epoch: number; node: number; batches: number; lastId: number }>(
    'SELECT epoch, node, count(*)::int AS batches, max(id) AS "lastId" FROM drain_batches GROUP BY epoch, node ORDER BY epoch',
  );

/** The suite of one election. */
export function describeCrashes(election: Election): void {
  describe(`the coordinator, elected by ${election}`, () => {
    let witnesses: string;
    before(() => (witnesses = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-e2e-'))));
    after(() => rmSync(witnesses, { recursive: true }));

    const untilAll = async (what: string, witness: string, stops: Stops) =>
      until({ what, timeoutMs: waitMs * 2 }, async () => {
        const hit = witnessed(witness);
        return stops.every(([, point]) => hit.includes(point)) && hit.length >= stops.length;
      });

    it('a coordinator killed while draining, at each crash point, loses no acked reading', async () => {
      const witness = path.join(witnesses, 'killed');
      const env = environmentOf(election, deaths[election], witness, 'kill', ['node-3', 'node-2', 'node-1']);
      await withMesh({ election, env }, async (mesh) => {
        await mesh.settled();
        // No node is started again in between: node 5 would win before node 3 has coordinated.
        const dying = deaths[election].map(([node]) => node);
        for (const node of dying) mesh.hold(node);
        const load = mesh.startLoad({ devices: 50, rate: 1_000, seconds: 600 });
        try {
          // Each node coordinates for some batches and dies.
          await untilAll('each node to die at its point', witness, deaths[election]);
        } finally {
          load.finish();
        }
        for (const node of dying) mesh.release(node);
        const { document } = await mesh.judgeLoad(load);
        assert.ok(document.acked > 0 && document.acked === document.sent, JSON.stringify(document));
        assertIntact(document);
        assertKept(await mesh.verify());
        // Readings that were committed but not acknowledged were delivered again and recognised.
        const [row] = await mesh.sql.query<{ redelivered: number }>(
          'SELECT sum(redelivered)::int AS redelivered FROM drain_batches',
        );
        assert.ok((row?.redelivered ?? 0) > 0, 'no redelivery was seen');
      });
    });

    it('a paused coordinator cannot commit after its successor, at any crash point', async () => {
      const witness = path.join(witnesses, 'paused');
      const hanging = hangs[election].map(([node]) => node);
      const env = environmentOf(election, hangs[election], witness, 'stop', ['node-2', 'node-1']);
      await withMesh({ election, env, environment: { PREEMPT_HOLD_MS: '2000' } }, async (mesh) => {
        await mesh.settled();
        const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 600 });
        let before: Awaited<ReturnType<typeof epochsOf>> = [];
        try {
          // Each node coordinates until it hangs, while its predecessors still hang.
          await untilAll('each node to hang at its point', witness, hangs[election]);
          const paused = await Promise.all(hanging.map((node) => mesh.process(node)));
          before = await epochsOfTheHanging(mesh, election);
          for (const { pid } of paused) process.kill(pid, 'SIGCONT');
          for (const node of hanging) {
            await until({ what: `the woken ${node} to step down`, timeoutMs: waitMs }, async () =>
              /election\.stepped_down|drain\.stale_write_refused/.test(
                readFileSync(mesh.logFile(node), 'utf8'),
              ),
            );
          }
          // One of the nodes takes over gracefully.
          const { epoch } = await mesh.settled();
          await until({ what: 'a batch of the next coordinator', timeoutMs: waitMs }, async () => {
            return (await epochsOf(mesh)).some((row) => row.epoch === epoch);
          });
        } finally {
          load.finish();
        }
        const { document } = await mesh.judgeLoad(load);
        assert.equal(document.stored, document.sent);
        assertIntact(document);
        assert.deepEqual((await epochsOf(mesh)).slice(0, before.length), before);
        assertKept(await mesh.verify());
      });
    });
  });
}

function environmentOf(
  election: Election,
  stops: Stops,
  witness: string,
  action: 'kill' | 'stop',
  lateOnes: readonly string[],
): Record<string, Record<string, string>> {
  const env: Record<string, Record<string, string>> = Object.fromEntries(
    stops.map(([node, point, nth]) => [node, crashAt(point, witness, nth, action)]),
  );
  // A queue has no order of nodes that could be arranged by settings.
  if (election === 'bully') for (const node of lateOnes) env[node] = { ...env[node], ...late };
  return env;
}

/** The epochs of the nodes that hang. Under Bully one node is left, which continues to drain. */
async function epochsOfTheHanging(mesh: MeshHandle, election: Election) {
  if (election === 'zookeeper') {
    await until(
      { what: 'the sessions of all nodes to end', timeoutMs: waitMs },
      async () => (await readMembers(mesh.mesh))?.length === 0,
    );
    const hung = await epochsOf(mesh);
    // A node that hangs before its first batch is committed has no epoch here.
    assert.equal(new Set(hung.map(({ node }) => node)).size, hung.length);
    assert.ok(hung.length >= 4, JSON.stringify(hung));
    // The last node has no successor. Its epoch is valid until another node claims the next, so it
    // may still commit its batch.
    return hung.slice(0, -1);
  }
  await until({ what: 'a batch of the last successor', timeoutMs: waitMs }, async () =>
    (await epochsOf(mesh)).some(({ node }) => node === 1),
  );
  const hung = (await epochsOf(mesh)).filter(({ node }) => node !== 1);
  // The node that hung after its claim has committed no batch in its epoch.
  assert.deepEqual(
    hung.map(({ node }) => node),
    [5, 4, 3],
  );
  return hung;
}
