/** Orderly moves, blows by chance, and everybody down: the same promises whatever elects the coordinator. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseSchedule, startMesh, type MeshHandle } from '@thermomesh/mesh';
import { tellFailures, type Election } from '../support.ts';

/** From one end to the next. Under Bully the node that is back asks for the title meanwhile: both moves are in the series. */
const everyMs: Record<Election, number> = { bully: 9_000, zookeeper: 2_000 };

/** The suite of one election: one mesh, one hazard after another. */
export function describeMoves(election: Election): void {
  describe(`moves, under ${election}`, () => {
    let mesh: MeshHandle;
    before(async () => {
      mesh = await startMesh({ election, fleetDevices: 5 });
    });
    after(() => mesh.remove());
    tellFailures(() => mesh);

    it('SIGTERM to the coordinator under load hands over without redelivery, and so does its return', async () => {
      const document = await mesh.chaos({
        ...{ target: 'coordinator', signal: 'TERM', times: 2, everyMs: everyMs[election] },
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

    it('a rolling restart of all processes under load loses nothing', async () => {
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
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
    });

    it('random blows from one seed: nothing acked is lost or stored twice', async () => {
      const document = await mesh.chaos({
        ...{ target: 'random', seed: 20_240_229, times: 6 },
        load: { devices: 30, rate: 300 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.rounds, 6);
    });

    it('all five nodes down for a while: the backlog waits at the gateway and drains when they are back', async () => {
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
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
      assert.equal(document.stored, document.sent);
      assert.ok((await mesh.verify()).ok);
    });
  });
}
