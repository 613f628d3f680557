/**
 * Graceful hand-overs, random faults, and an outage of all nodes. The promises are the same for
 * both elections.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseSchedule, startMesh, type MeshHandle } from '@thermomesh/mesh/testing';
import { assertIntact, assertKept, type Election, tellFailures } from '../support.ts';

/**
 * Time from one SIGTERM to the next. Under Bully the node that is back asks for the title
 * meanwhile, so the series contains both hand-overs.
 */
const everyMs: Record<Election, number> = { bully: 9_000, zookeeper: 2_000 };

/** The suite of one election: one mesh, one hazard after another. */
export function describeMoves(election: Election): void {
  describe(`hand-overs under ${election}`, () => {
    let mesh: MeshHandle;
    before(async () => {
      mesh = await startMesh({ election, fleetDevices: 5 });
    });
    after(() => mesh.remove());
    tellFailures(() => mesh);

    it('SIGTERM to the coordinator, and its return, hand over without redelivery', async () => {
      const document = await mesh.chaos({
        target: 'coordinator',
        signal: 'TERM',
        times: 2,
        everyMs: everyMs[election],
        load: { devices: 50, rate: 500 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.handOverMs?.n, 2);
      assert.deepEqual(
        document.rules.map(({ id, ok }) => [id, ok]),
        [['hand-over-redelivers-nothing', true]],
      );
      const sql = 'SELECT coalesce(sum(redelivered), 0)::int AS n FROM drain_batches';
      assert.equal((await mesh.sql.query<{ n: number }>(sql))[0]?.n, 0);
    });

    it('a rolling restart of all processes under load loses no acked reading', async () => {
      const nodes = [1, 2, 3, 4, 5].map((node) => ({ target: 'node', node }));
      const names = ['fleet', 'gateway', 'postgres', ...(election === 'zookeeper' ? ['zookeeper'] : [])];
      const others = names.map((target) => ({ target }));
      const steps = [...nodes, ...others].map((step) => ({ atMs: 0, signal: 'TERM', ...step }));
      const document = await mesh.chaos({
        target: 'schedule',
        steps: parseSchedule(JSON.stringify(steps)),
        load: { devices: 30, rate: 300 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.rounds, steps.length);
      assertIntact(document);
    });

    it('random faults of one seed lose no acked reading and store none twice', async () => {
      const document = await mesh.chaos({
        target: 'random',
        seed: 20_240_229,
        times: 6,
        load: { devices: 30, rate: 300 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.rounds, 6);
    });

    it('with all five nodes down, the backlog waits at the gateway, then drains', async () => {
      await mesh.drained();
      const nodes = [1, 2, 3, 4, 5].map((n) => `node-${n}`);
      for (const node of nodes) mesh.hold(node);
      await Promise.all(nodes.map((node) => mesh.kill(node)));
      const load = mesh.startLoad({ devices: 20, rate: 500, seconds: 3 });
      await load.finished;
      const { counters } = await mesh.broker();
      assert.ok(counters.buffered >= 1_000, `${counters.buffered} buffered`);
      for (const node of nodes) mesh.release(node);
      const { document } = await mesh.judgeLoad(load);
      assertIntact(document);
      assert.equal(document.stored, document.sent);
      assertKept(await mesh.verify());
    });
  });
}
