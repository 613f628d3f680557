import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSchedule, type MeshHandle } from '@thermomesh/mesh';
import { withMesh } from './support.ts';

const redelivered = async (mesh: MeshHandle) => {
  const sql = 'SELECT coalesce(sum(redelivered), 0)::int AS n FROM drain_batches';
  return (await mesh.sql.query<{ n: number }>(sql))[0]?.n;
};

describe('orderly moves', () => {
  it('SIGTERM to the coordinator under load hands over without redelivery, and so does its return', async () => {
    await withMesh({}, async (mesh) => {
      const document = await mesh.chaos({
        target: 'coordinator',
        signal: 'TERM',
        times: 2,
        // Above the time after which a node that is back asks for the title: both moves are in the series.
        everyMs: 9_000,
        load: { devices: 50, rate: 500 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.handOverMs?.n, 2);
      assert.deepEqual(
        document.rules.map(({ id, ok }) => [id, ok]),
        [['hand-over-redelivers-nothing', true]],
      );
      assert.equal(await redelivered(mesh), 0);
    });
  });

  it('a rolling restart of all processes under load loses nothing', async () => {
    await withMesh({ proxied: true, fleetDevices: 5 }, async (mesh) => {
      const nodes = [1, 2, 3, 4, 5].map((node) => ({ target: 'node', node }));
      const others = ['fleet', 'gateway', 'postgres'].map((target) => ({ target }));
      const steps = [...nodes, ...others].map((step) => ({ atMs: 0, signal: 'TERM', ...step }));
      const document = await mesh.chaos({
        target: 'schedule',
        steps: parseSchedule(JSON.stringify(steps)),
        load: { devices: 30, rate: 300 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.rounds, 8);
      assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
    });
  });

  it('random blows from one seed: nothing acked is lost or stored twice', async () => {
    await withMesh({ fleetDevices: 5 }, async (mesh) => {
      const document = await mesh.chaos({
        target: 'random',
        seed: 20_240_229,
        times: 6,
        load: { devices: 30, rate: 300 },
      });
      assert.ok(document.ok, JSON.stringify(document, undefined, 1));
      assert.equal(document.rounds, 6);
    });
  });
});
