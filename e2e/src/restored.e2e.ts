import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import { AcceptedGap, StatusDocument } from '@thermomesh/contracts';
import { until, type MeshHandle } from '@thermomesh/mesh/testing';
import { cliOf } from './cli-support.ts';
import { assertIntact, waitMs, withMesh } from './support.ts';

/** The promises that a restored database may break. */
const judged = ['I1', 'I2', 'I6'];

/** Runs `work` on the data folder while PostgreSQL is down. */
async function withoutPostgres(mesh: MeshHandle, work: (folder: string) => void): Promise<void> {
  mesh.hold('postgres');
  const killed = await mesh.kill('postgres');
  work(mesh.mesh.layout.postgresDir);
  mesh.release('postgres');
  await until({ what: 'PostgreSQL to run again', timeoutMs: waitMs }, async () => {
    const { pid } = await mesh.process('postgres');
    return pid !== killed.pid && (await mesh.sql.query('SELECT 1').catch(() => [])).length === 1;
  });
}

/** A copy keeps owner and mode, because root runs the server as another user. */
const copy = (from: string, to: string) => execFileSync('cp', ['-a', from, to]);
const backUp = (mesh: MeshHandle) => withoutPostgres(mesh, (folder) => copy(folder, `${folder}.backup`));
const restore = (mesh: MeshHandle) =>
  withoutPostgres(mesh, (folder) => {
    rmSync(folder, { recursive: true });
    copy(`${folder}.backup`, folder);
  });

async function rows(mesh: MeshHandle): Promise<number> {
  const [row] = await mesh.sql
    .query<{ n: number }>('SELECT count(*)::int AS n FROM readings')
    .catch(() => []);
  return row?.n ?? 0;
}

async function verdicts(mesh: MeshHandle) {
  const { invariants } = await mesh.verify();
  return invariants.filter(({ id }) => judged.includes(id));
}

describe('a restored database', () => {
  it('a restored database gets back what it lost, though the coordinator has changed', async () => {
    await withMesh({ nodes: 2 }, async (mesh) => {
      await mesh.settled();
      assertIntact(await mesh.load({ devices: 10, rate: 300, seconds: 1 }));
      const before = await rows(mesh);
      await backUp(mesh);
      // The database that is restored does not know the epoch of the next coordinator.
      const { epoch } = await mesh.coordinator();
      await mesh.kill('node-2');
      await mesh.coordinator(epoch);
      assertIntact(await mesh.load({ devices: 10, rate: 300, seconds: 2 }));
      const all = await rows(mesh);
      assert.ok(before > 100 && all > before + 200, `${before} rows before the copy, ${all} after it`);
      await restore(mesh);
      await until({ what: 'all rows again', timeoutMs: waitMs }, async () => (await rows(mesh)) === all);
      for (const { ok, detail } of await verdicts(mesh)) assert.ok(ok, detail);
    });
  });

  it('beyond what is kept the drain stops, and an accepted gap is named', async () => {
    const env = { gateway: { DRAINED_KEPT_BYTES_MAX: '0' } };
    await withMesh({ nodes: 2, env }, async (mesh) => {
      await mesh.settled();
      const cli = cliOf(() => ({ ...process.env, MESH_HOME: mesh.home }));
      await backUp(mesh);
      assertIntact(await mesh.load({ devices: 10, rate: 300, seconds: 1 }));
      const lost = await rows(mesh);
      assert.ok(lost > 100, `${lost} rows are lost`);
      await restore(mesh);
      const stopped = await until({ what: 'the drain to stop', timeoutMs: waitMs }, async () => {
        const { document } = await cli.document(StatusDocument, 'status', '--name', mesh.mesh.name);
        return document.drain?.state === 'gap' ? document : undefined;
      });
      assert.deepEqual([stopped.drain?.gap?.messages, stopped.ready], [lost, false]);
      const load = mesh.startLoad({ devices: 10, rate: 300, seconds: 1 });
      await load.finished;
      const { counters } = await mesh.broker();
      assert.ok(counters.buffered > 100, `${counters.buffered} buffered`);
      assert.equal(await rows(mesh), 0);

      const { accepted } = await cli.json(
        AcceptedGap,
        'drain',
        'accept-gap',
        '--yes',
        '--name',
        mesh.mesh.name,
      );
      assert.deepEqual(accepted, stopped.drain?.gap);
      assertIntact((await mesh.judgeLoad(load)).document);
      assert.equal((await cli.mesh('drain', 'accept-gap', '--yes', '--name', mesh.mesh.name)).code, 1);
      const [i1, , i6] = await verdicts(mesh);
      assert.equal(i1?.ok, false, 'the accepted readings are lost');
      assert.match(i1?.detail ?? '', new RegExp(`${lost} messages were lost with a restored database`));
      assert.equal(i6?.ok, true, i6?.detail);
      assert.match(i6?.detail ?? '', new RegExp(`${lost} that this database lacks, as accepted`));
    });
  });
});
