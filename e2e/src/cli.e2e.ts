import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ChaosDocument, LoadDocument, StatusDocument, VerifyDocument } from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh';
import { sqlPatience } from '@thermomesh/servers';
import type { Static, TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { waitMs } from './support.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const bin = path.join(repository, 'tools/mesh/bin/mesh.mjs');
const run = promisify(execFile);
let home: string;

before(async () => {
  home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-cli-'));
  await chmod(home, 0o755);
});
after(() => rmSync(home, { recursive: true, force: true }));

// Servers that the machine offers would be shared by both meshes: these have their own.
const env = () => ({ ...process.env, MESH_HOME: home, DATABASE_URL: '', REDIS_URL: '' });
/** Where a test is not about payments, ZooKeeper or Kafka, a mesh without them starts sooner. */
const lean = ['--without', 'payments', 'coordination'];

/** Runs `mesh … --json` and checks the one document on stdout. */
async function mesh<S extends TSchema>(schema: S, ...args: string[]): Promise<Static<S>> {
  const { stdout } = await run(process.execPath, [bin, ...args, '--json'], {
    env: env(),
    timeout: 5 * waitMs,
  });
  const document: unknown = JSON.parse(stdout);
  assert.ok(Check(schema, document), JSON.stringify([...Errors(schema, document)].slice(0, 3)));
  return document;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const pidsOf = ({ processes }: StatusDocument) => processes.flatMap(({ pid }) => (pid === null ? [] : [pid]));
const allGone = (pids: number[]) =>
  until({ what: `processes ${pids.join(', ')} to end`, timeoutMs: waitMs }, async () => !pids.some(alive));

describe('the mesh command', () => {
  it('up --detach, load, chaos, verify, down; a second mesh runs beside it', async () => {
    let first = await mesh(StatusDocument, 'up', '--detach', '--name', 'first');
    const second = await mesh(StatusDocument, 'up', '--detach', '--name', 'second', '--nodes', '2', ...lean);
    assert.ok(first.ready && second.ready);
    // "up" waits for what is late only so long.
    first = await until({ what: 'the equalizer nodes', timeoutMs: waitMs }, async () => {
      const status = await mesh(StatusDocument, 'status', '--name', 'first');
      return status.ready && status.equalizerCoordinator !== null && status;
    });
    assert.deepEqual(
      [first.processes.length, second.processes.length],
      [18, 4],
      'the first one runs Redis, card processor, two replicas of billing, ZooKeeper, Kafka and five equalizers too',
    );
    assert.ok(first.redisUrl !== null && second.redisUrl === null);
    assert.ok(first.zookeeperHosts !== null && first.kafkaBrokers !== null);
    assert.deepEqual([second.zookeeperHosts, second.kafkaBrokers], [null, null]);
    assert.notEqual(first.mqttUrl, second.mqttUrl);
    await until({ what: 'all nodes among the members', timeoutMs: waitMs }, async () => {
      const { members } = await mesh(StatusDocument, 'status', '--name', 'first');
      return members?.length === 5 && members.every(({ fit }) => fit);
    });
    assert.equal((await mesh(StatusDocument, 'status', '--name', 'second')).members, null);

    const load = await mesh(
      LoadDocument,
      'load',
      '--name',
      'first',
      '--devices',
      '50',
      '--rate',
      '500',
      '--seconds',
      '3',
    );
    assert.deepEqual([load.lost, load.duplicated, load.corrupted], [0, 0, 0]);
    assert.ok(load.acked > 500 && load.stored === load.acked);

    const chaos = await mesh(
      ChaosDocument,
      'chaos',
      'coordinator',
      '--name',
      'first',
      '--times',
      '2',
      '--load',
    );
    assert.ok(chaos.ok, JSON.stringify(chaos));
    assert.equal(chaos.rounds, 2);
    assert.equal(chaos.failoverMs?.n, 2);

    assert.ok((await mesh(VerifyDocument, 'verify', '--name', 'first')).ok);
    const status = await mesh(StatusDocument, 'status', '--name', 'first');
    assert.equal(status.accounts.balanced, true);
    assert.ok((status.coordinator?.epoch ?? 0) > (first.coordinator?.epoch ?? 0));

    const pids = [...pidsOf(status), ...pidsOf(second)];
    await run(process.execPath, [bin, 'down', '--name', 'second'], { env: env() });
    await run(process.execPath, [bin, 'down', '--name', 'first'], { env: env() });
    await allGone(pids);
  });

  it('verify says so, and fails, when a stored value is not what was sent', async () => {
    const up = await mesh(StatusDocument, 'up', '--detach', '--name', 'tampered', '--nodes', '1', ...lean);
    await mesh(
      LoadDocument,
      'load',
      '--name',
      'tampered',
      '--devices',
      '5',
      '--rate',
      '50',
      '--seconds',
      '1',
    );
    const { createPool } = await import('@thermomesh/sql');
    const pool = createPool({ ...sqlPatience, url: up.databaseUrl ?? '', applicationName: 'tamper' });
    await pool.query(
      'UPDATE readings SET celsius = celsius + 1 WHERE (device_id, seq) IN (SELECT device_id, seq FROM readings LIMIT 1)',
    );
    await pool.query(
      'DELETE FROM readings WHERE (device_id, seq) IN (SELECT device_id, seq FROM readings ORDER BY seq DESC LIMIT 1)',
    );
    await pool.close();
    const failed = await run(process.execPath, [bin, 'verify', '--name', 'tampered', '--json'], {
      env: env(),
    }).then(
      () => assert.fail('verify found nothing'),
      (error: { code: number; stdout: string }) => error,
    );
    assert.equal(failed.code, 1);
    const verdict = JSON.parse(failed.stdout) as VerifyDocument;
    const i1 = verdict.invariants.find(({ id }) => id === 'I1');
    assert.equal(i1?.ok, false);
    assert.match(i1?.detail ?? '', /1 lost/);
    assert.match(i1?.detail ?? '', /1 corrupted/);
    await run(process.execPath, [bin, 'down', '--name', 'tampered'], { env: env() });
  });

  it('Ctrl-C leaves no process behind, and the state survives a restart', async () => {
    const args = [bin, 'up', '--fleet', '--devices', '5', '--name', 'foreground', '--nodes', '2', ...lean];
    const up = spawn(process.execPath, args, { env: env(), stdio: ['ignore', 'pipe', 'pipe'] });
    let status: StatusDocument | undefined;
    await until({ what: 'rows to arrive', timeoutMs: 2 * waitMs }, async () => {
      status = await mesh(StatusDocument, 'status', '--name', 'foreground').catch(() => undefined);
      return status?.ready === true && (status.accounts.stored ?? 0) > 0;
    });
    assert.ok(status !== undefined);
    const pids = pidsOf(status);
    const ended = new Promise<number | null>((resolve) => up.once('exit', resolve));
    up.kill('SIGINT');
    assert.equal(await ended, 0);
    assert.deepEqual(pids.filter(alive), []);

    const again = await mesh(
      StatusDocument,
      'up',
      '--detach',
      '--name',
      'foreground',
      '--nodes',
      '2',
      ...lean,
    );
    assert.ok((again.coordinator?.epoch ?? 0) > (status.coordinator?.epoch ?? 0));
    assert.ok((again.accounts.stored ?? 0) >= (status.accounts.stored ?? 0));
    await run(process.execPath, [bin, 'down', '--name', 'foreground'], { env: env() });
  });

  it('a second up of a running mesh is refused and harms nothing', async () => {
    const before = await mesh(StatusDocument, 'up', '--detach', '--name', 'once', '--nodes', '1', ...lean);
    await assert.rejects(run(process.execPath, [bin, 'up', '--detach', '--name', 'once'], { env: env() }), {
      code: 1,
    });
    const after = await mesh(StatusDocument, 'status', '--name', 'once');
    assert.deepEqual(pidsOf(after), pidsOf(before));
    await run(process.execPath, [bin, 'down', '--name', 'once'], { env: env() });
  });

  it('down ends what a killed supervisor left, PostgreSQL and Redis too', async () => {
    const up = await mesh(StatusDocument, 'up', '--detach', '--name', 'orphaned', '--nodes', '1');
    const pids = pidsOf(up);
    const runFile = path.join(home, 'orphaned', 'run.json');
    assert.ok(existsSync(runFile));
    const { supervisor } = JSON.parse(readFileSync(runFile, 'utf8')) as { supervisor: { pid: number } };
    process.kill(supervisor.pid, 'SIGKILL');
    await run(process.execPath, [bin, 'down', '--name', 'orphaned'], { env: env() });
    await allGone([supervisor.pid, ...pids]);
  });

  it('device-token prints what the gateway accepts; wrong usage exits with 2', async () => {
    await mesh(StatusDocument, 'up', '--detach', '--name', 'tokens', '--nodes', '1', ...lean);
    const { stdout } = await run(process.execPath, [bin, 'device-token', 'd1', '--name', 'tokens'], {
      env: env(),
    });
    assert.match(stdout.trim(), /^[\w-]{43}$/);
    await run(process.execPath, [bin, 'down', '--name', 'tokens'], { env: env() });
    await assert.rejects(run(process.execPath, [bin, 'chaos', 'nobody'], { env: env() }), { code: 2 });
  });
});
