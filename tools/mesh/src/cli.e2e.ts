import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  ChaosDocument,
  documentFaults,
  LoadDocument,
  StatusDocument,
  VerifyDocument,
  type DocumentOf,
  type DocumentSchema,
} from '@thermomesh/contracts';
import { isAlive, stopPostgres } from '@thermomesh/servers';
import { createPool } from '@thermomesh/sql';
import { layoutOf } from './state/layout.ts';
import { livingProcess, readRunFile, type RunFile } from './state/run-file.ts';

const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-cli-'));
chmodSync(home, 0o755);
const bin = path.resolve(import.meta.dirname, '../bin/mesh.mjs');

async function mesh(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { DATABASE_URL: _unused, ...env } = process.env;
  const child = spawn(process.execPath, [bin, ...words], {
    env: { ...env, MESH_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

/** The one document on stdout, which fits its schema. */
async function document<S extends DocumentSchema>(schema: S, ...words: string[]): Promise<DocumentOf<S>> {
  const { code, stdout, stderr } = await mesh(...words, '--json');
  assert.equal(code, 0, stderr);
  const printed: unknown = JSON.parse(stdout);
  assert.deepEqual(documentFaults(schema, printed), []);
  return printed as DocumentOf<S>;
}

async function assertNoneLeft(run: RunFile): Promise<void> {
  assert.equal(await isAlive(run.supervisor), false);
  for (const record of run.processes) assert.equal(await livingProcess(record), undefined, record.name);
}

describe('the mesh command on a real mesh', () => {
  let firstRun: RunFile;
  before(async () => {
    const up = await mesh('up', '--detach', '--json', '--name', 'one');
    assert.equal(up.code, 0, up.stderr);
    const printed = JSON.parse(up.stdout) as { ready: boolean; apiKey: string | null };
    assert.deepEqual(documentFaults(StatusDocument, printed), []);
    assert.match(printed.apiKey ?? '', /^tmk_/);
    firstRun = readRunFile(layoutOf(home, 'one')) ?? assert.fail('no run file');
    const log = readFileSync(layoutOf(home, 'one').logFile('supervisor'), 'utf8');
    assert.doesNotMatch(log, /tmk_/, 'a key has no place in a log');
  });
  after(async () => {
    for (const name of ['one', 'two']) {
      await mesh('down', '--name', name);
      await stopPostgres(layoutOf(home, name).postgresDir);
    }
    rmSync(home, { recursive: true, force: true });
  });

  it('status-names-every-part-and-the-coordinator', async () => {
    const status = await document(StatusDocument, 'status', '--name', 'one');
    assert.equal(status.ready, true);
    assert.notEqual(status.coordinator, null);
    const names = ['postgres', 'gateway', 'node-1', 'node-2', 'node-3', 'node-4', 'node-5'];
    assert.deepEqual(
      status.processes.map(({ name }) => name),
      names,
    );
    const shown = await mesh('status', '--name', 'one');
    const password = new URL(status.databaseUrl ?? '').password;
    assert.equal(shown.stdout.includes(password), false);
  });

  it('a-second-up-of-a-running-mesh-is-refused-and-harms-nothing', async () => {
    for (const words of [['up', '--detach'], ['up']]) {
      const second = await mesh(...words, '--name', 'one');
      assert.equal(second.code, 1);
      assert.match(second.stderr, /already up/);
    }
    assert.equal((await document(StatusDocument, 'status', '--name', 'one')).ready, true);
  });

  it('load-chaos-and-verify-print-their-documents-and-nothing-is-lost', async () => {
    const load = await document(
      LoadDocument,
      'load',
      '--name',
      'one',
      '--devices',
      '10',
      '--rate',
      '200',
      '--seconds',
      '2',
      '--poison-ratio',
      '0.05',
    );
    assert.ok(load.acked > 0 && load.rejected > 0);
    assert.deepEqual([load.lost, load.duplicated, load.corrupted], [0, 0, 0]);
    const chaos = await document(
      ChaosDocument,
      'chaos',
      'coordinator',
      '--name',
      'one',
      '--load',
      '--rate',
      '200',
      '--devices',
      '10',
    );
    assert.equal(chaos.ok, true);
    assert.equal(chaos.failoverMs?.n, 1);
    const verdict = await document(VerifyDocument, 'verify', '--name', 'one');
    assert.deepEqual(
      verdict.invariants.map(({ id }) => id),
      ['I1', 'I2', 'I6'],
    );
    assert.match(verdict.invariants[0]?.detail ?? '', /^2 ledger\(s\)/);
  });

  it('a-row-that-vanishes-or-changes-is-found', async () => {
    const pool = createPool({
      url: firstRun.databaseUrl ?? '',
      applicationName: 'saboteur',
      connectionsMax: 1,
    });
    const row =
      "(SELECT device_id, seq FROM readings WHERE starts_with(device_id, 'load-') ORDER BY 1, 2 LIMIT 1)";
    try {
      const columns = 'device_id, seq, celsius';
      const [before] = await pool.query<{ device_id: string; seq: number; celsius: number }>(
        `SELECT ${columns} FROM readings WHERE (device_id, seq) = ${row}`,
      );
      assert.ok(before);
      await pool.query(`UPDATE readings SET celsius = celsius + 1 WHERE (device_id, seq) = ${row}`);
      const changed = await mesh('verify', '--name', 'one', '--json');
      assert.equal(changed.code, 1);
      const { invariants } = JSON.parse(changed.stdout) as VerifyDocument;
      assert.match(invariants[0]?.detail ?? '', new RegExp(`1 corrupted.*${before.device_id}/${before.seq}`));
      await pool.query('UPDATE readings SET celsius = $1 WHERE device_id = $2 AND seq = $3', [
        before.celsius,
        before.device_id,
        before.seq,
      ]);
    } finally {
      await pool.close();
    }
    assert.equal((await mesh('verify', '--name', 'one')).code, 0);
  });

  it('two-meshes-run-side-by-side-and-one-ends-without-the-other', async () => {
    const up = await mesh('up', '--detach', '--name', 'two', '--nodes', '2');
    assert.equal(up.code, 0, up.stderr);
    const run = readRunFile(layoutOf(home, 'two')) ?? assert.fail('no run file');
    assert.equal((await mesh('down', '--name', 'two')).code, 0);
    await assertNoneLeft(run);
    assert.equal((await document(StatusDocument, 'status', '--name', 'one')).ready, true);
  });

  it('supervisor-killed-with-9-down-ends-everything-and-up-continues-with-the-data', async () => {
    process.kill(firstRun.supervisor.pid, 'SIGKILL');
    const orphaned = readRunFile(layoutOf(home, 'one')) ?? assert.fail('no run file');
    assert.equal((await mesh('down', '--name', 'one')).code, 0);
    await assertNoneLeft(orphaned);
    assert.equal(await stopPostgres(layoutOf(home, 'one').postgresDir), false);

    const again = await mesh('up', '--detach', '--json', '--name', 'one');
    assert.equal(again.code, 0, again.stderr);
    const status = JSON.parse(again.stdout) as { mqttUrl: string; apiKey: string | null };
    assert.equal(status.mqttUrl, firstRun.mqttUrl, 'ports are kept');
    assert.equal(status.apiKey, null, 'a key is shown once');
    assert.equal((await mesh('verify', '--name', 'one')).code, 0);
    const run = readRunFile(layoutOf(home, 'one')) ?? assert.fail('no run file');
    assert.equal((await mesh('down', '--name', 'one')).code, 0);
    await assertNoneLeft(run);
  });
});
