import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startMesh, type MeshHandle, type StartMeshOptions } from '@thermomesh/mesh/testing';
import { testPostgres } from '@thermomesh/servers';
import { createPool } from '@thermomesh/sql';
import { assertIntact } from './support.ts';

let other: Awaited<ReturnType<typeof testPostgres>>;
let home: string;
before(async () => {
  other = await testPostgres();
  home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-other-server-'));
});
after(async () => {
  await other.remove();
  rmSync(home, { recursive: true, force: true });
});

/** The gateway keeps nothing, so that each database lacks what the other one has. */
const shape = { nodes: 1, env: { gateway: { DRAINED_KEPT_BYTES_MAX: '0' } } };

/** Starts the mesh on its state, and stops it after `work`. */
async function running(options: StartMeshOptions, work: (mesh: MeshHandle) => Promise<void>): Promise<void> {
  const mesh = await startMesh({ ...shape, home, ...options });
  try {
    await work(mesh);
  } finally {
    await mesh.down();
  }
}

/** Drains a load, and asserts the accounts; returns the verdict on I1. */
async function loadAndVerify(mesh: MeshHandle): Promise<{ ok: boolean | null; detail: string }> {
  assertIntact(await mesh.load({ devices: 5, rate: 100, seconds: 1 }));
  const { invariants } = await mesh.verify();
  const of = (id: string) => invariants.find((verdict) => verdict.id === id)!;
  assert.equal(of('I6').ok, true, of('I6').detail);
  return of('I1');
}

describe('another database than the one that a mesh has worked with', () => {
  it('row 1: it is refused, adopted by name, and the way back keeps the accounts', async () => {
    const databaseUrl = other.server.url;
    await running({}, async (mesh) => {
      const { ok, detail } = await loadAndVerify(mesh);
      assert.equal(ok, true, detail);
    });

    await assert.rejects(startMesh({ ...shape, home, databaseUrl }), (error: Error) => {
      assert.match(error.message, /\(DATABASE_URL\) is not the one that the mesh "test" has worked with/);
      assert.match(error.message, /unset DATABASE_URL[^]*--adopt database[^]*another mesh/);
      return true;
    });
    const pool = createPool({ url: databaseUrl, applicationName: 'e2e' });
    assert.deepEqual(await pool.query(`SELECT to_regclass('readings') AS readings`), [{ readings: null }]);
    await pool.close();

    await running({ databaseUrl, adopt: ['database'] }, async (mesh) => {
      const { ok, detail } = await loadAndVerify(mesh);
      assert.deepEqual(
        [ok, /messages are in the database that the mesh worked with/.test(detail)],
        [null, true],
      );
    });
    // The next start needs no permission, and the own server is the other one now.
    await running({ databaseUrl }, async (mesh) => void (await mesh.coordinator()));
    await assert.rejects(startMesh({ ...shape, home }), /go back {3}DATABASE_URL=postgresql:\/\/127/);

    await running({ adopt: ['database'] }, async (mesh) => {
      const { ok, detail } = await loadAndVerify(mesh);
      assert.deepEqual(
        [ok, /messages are in the database that the mesh worked with/.test(detail)],
        [null, true],
      );
    });
  });
});
