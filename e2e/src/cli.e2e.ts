import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  ChaosDocument,
  DeviceIncarnationDocument,
  LoadDocument,
  PaymentsDocument,
  StatusDocument,
  VerifyDocument,
} from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh/testing';
import { sqlPatience } from '@thermomesh/servers';
import { createPool } from '@thermomesh/sql';
import { cliOf, ownServers } from './cli-support.ts';
import { assertIntact, waitMs } from './support.ts';

let home: string;

before(async () => {
  home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-cli-'));
  await chmod(home, 0o755);
});
after(() => rmSync(home, { recursive: true, force: true }));

const { mesh, document, json, succeeded, refused, start } = cliOf(() => ownServers(home), {
  timeoutMs: 5 * waitMs,
});
/** Options of a mesh without payments, ZooKeeper and Kafka: it starts sooner. */
const lean = ['--without', 'payments', 'coordination'];

/** The verdicts on I1 to I6. */
const verdictsOf = ({ invariants }: VerifyDocument) =>
  ['I1', 'I2', 'I3', 'I4', 'I5', 'I6'].map((id) => invariants.find((verdict) => verdict.id === id)?.ok);

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
  it('up, load, chaos, verify and down work while a second mesh runs', async () => {
    let first = await json(StatusDocument, 'up', '--detach', '--name', 'first');
    const second = await json(StatusDocument, 'up', '--detach', '--name', 'second', '--nodes', '2', ...lean);
    assert.ok(first.ready && second.ready);
    // "up" does not wait longer than its timeout for equalizer nodes that start late.
    first = await until({ what: 'the equalizer nodes', timeoutMs: waitMs }, async () => {
      const status = await json(StatusDocument, 'status', '--name', 'first');
      return status.ready && status.equalizerCoordinator !== null && status;
    });
    assert.deepEqual(
      [first.processes.length, second.processes.length],
      [18, 4],
      'the first mesh runs Redis, card processor, two replicas of billing, ZooKeeper, Kafka and five equalizers too',
    );
    assert.ok(first.redisUrl !== null && second.redisUrl === null);
    assert.ok(first.zookeeperHosts !== null && first.kafkaBrokers !== null);
    assert.deepEqual([second.zookeeperHosts, second.kafkaBrokers], [null, null]);
    assert.notEqual(first.mqttUrl, second.mqttUrl);
    await until({ what: 'all nodes among the members', timeoutMs: waitMs }, async () => {
      const { members } = await json(StatusDocument, 'status', '--name', 'first');
      return members?.length === 5 && members.every(({ fit }) => fit);
    });
    assert.equal((await json(StatusDocument, 'status', '--name', 'second')).members, null);

    const unused = await document(VerifyDocument, 'verify', '--name', 'first');
    assert.equal(unused.code, 3);
    assert.deepEqual(verdictsOf(unused.document), [null, null, null, null, null, null]);

    const load = await json(
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
    assertIntact(load);
    assert.ok(load.acked > 500 && load.stored === load.acked);

    const chaos = await json(
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

    const orders = ['--requests', '60', '--uuids', '20'];
    assert.ok((await json(PaymentsDocument, 'payments', '--name', 'first', ...orders)).ok);
    const verified = await document(VerifyDocument, 'verify', '--name', 'first');
    assert.deepEqual(
      verdictsOf(verified.document),
      [true, true, true, true, true, true],
      JSON.stringify(verified.document, undefined, 1),
    );
    assert.deepEqual([verified.code, verified.document.ok], [0, true]);
    const status = await json(StatusDocument, 'status', '--name', 'first');
    assert.equal(status.accounts.balanced, true);
    assert.ok((status.coordinator?.epoch ?? 0) > (first.coordinator?.epoch ?? 0));

    const pids = [...pidsOf(status), ...pidsOf(second)];
    await refused(2, /removes all its data: .*--yes confirms it/, 'down', '--name', 'second', '--wipe');
    const { stdout } = await succeeded('down', '--name', 'second', '--wipe', '--yes');
    assert.match(stdout, /is down\nremoved .*second \(\d+ files/);
    assert.equal(existsSync(path.join(home, 'second')), false);
    assert.equal((await json(StatusDocument, 'status', '--name', 'first')).ready, true);
    await succeeded('down', '--name', 'first');
    await allGone(pids);
  });

  it('verify fails and counts the readings that are lost or differ from those sent', async () => {
    const up = await json(StatusDocument, 'up', '--detach', '--name', 'tampered', '--nodes', '1', ...lean);
    await json(
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
    const pool = createPool({ ...sqlPatience, url: up.databaseUrl ?? '', applicationName: 'tamper' });
    await pool.query(
      'UPDATE readings SET celsius = celsius + 1 WHERE (device_id, seq) IN (SELECT device_id, seq FROM readings LIMIT 1)',
    );
    await pool.query(
      'DELETE FROM readings WHERE (device_id, seq) IN (SELECT device_id, seq FROM readings ORDER BY seq DESC LIMIT 1)',
    );
    await pool.close();
    const { code, document: verdict } = await document(VerifyDocument, 'verify', '--name', 'tampered');
    assert.equal(code, 1);
    const i1 = verdict.invariants.find(({ id }) => id === 'I1');
    assert.equal(i1?.ok, false);
    assert.match(i1?.detail ?? '', /1 lost/);
    assert.match(i1?.detail ?? '', /1 corrupted/);
    await succeeded('down', '--name', 'tampered');
  });

  it('verify judges the fleet by its own ledger, also after a kill -9 of the fleet', async () => {
    const flags = ['--fleet', '--devices', '20', '--name', 'fleet', '--nodes', '1', ...lean];
    const up = await json(StatusDocument, 'up', '--detach', ...flags);
    const stored = async (more: number) => {
      const before = (await json(StatusDocument, 'status', '--name', 'fleet')).accounts.stored ?? 0;
      await until({ what: `${more} more readings`, timeoutMs: waitMs }, async () => {
        const { accounts } = await json(StatusDocument, 'status', '--name', 'fleet');
        return (accounts.stored ?? 0) >= before + more;
      });
    };
    await stored(20);
    const pid = up.processes.find(({ role }) => role === 'fleet')?.pid ?? 0;
    assert.ok(pid > 0);
    process.kill(pid, 'SIGKILL');
    await allGone([pid]);
    await stored(20);
    const judged = async () => {
      const { document: verdict } = await document(VerifyDocument, 'verify', '--name', 'fleet');
      return verdict.invariants.find(({ id }) => id === 'I1') ?? { ok: undefined, detail: '' };
    };
    const kept = await judged();
    assert.equal(kept.ok, true, kept.detail);
    // The fleet that was killed has left one ledger, its successor writes another one.
    const [, ledgers, acked] = /^(\d+) ledger\(s\): (\d+) acked/.exec(kept.detail) ?? [];
    assert.equal(Number(ledgers), 2, kept.detail);
    assert.ok(Number(acked) >= 30, kept.detail);
    const pool = createPool({ ...sqlPatience, url: up.databaseUrl ?? '', applicationName: 'tamper' });
    const first = 'SELECT device_id, seq FROM readings ORDER BY committed_at LIMIT 1';
    await pool.query(`DELETE FROM readings WHERE (device_id, seq) IN (${first})`);
    await pool.close();
    const found = await judged();
    assert.equal(found.ok, false);
    assert.match(found.detail, /1 lost.*: lost room-\d+\/\d+/);
    await succeeded('down', '--name', 'fleet');
  });

  it('Ctrl-C of up leaves no process behind, and the state survives a restart', async () => {
    const up = start('up', '--fleet', '--devices', '5', '--name', 'foreground', '--nodes', '2', ...lean);
    let status: StatusDocument | undefined;
    await until({ what: 'rows to arrive', timeoutMs: 2 * waitMs }, async () => {
      status = await json(StatusDocument, 'status', '--name', 'foreground').catch(() => undefined);
      return status?.ready === true && (status.accounts.stored ?? 0) > 0;
    });
    assert.ok(status !== undefined);
    const pids = pidsOf(status);
    up.child.kill('SIGINT');
    assert.equal(await up.ended, 0);
    assert.deepEqual(pids.filter(alive), []);

    const again = await json(
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
    await succeeded('down', '--name', 'foreground');
  });

  it('a second up of a running mesh is refused, and its processes stay', async () => {
    const before = await json(StatusDocument, 'up', '--detach', '--name', 'once', '--nodes', '1', ...lean);
    assert.equal((await mesh('up', '--detach', '--name', 'once')).code, 1);
    const after = await json(StatusDocument, 'status', '--name', 'once');
    assert.deepEqual(pidsOf(after), pidsOf(before));
    await succeeded('down', '--name', 'once');
  });

  it('down ends the processes of a killed supervisor, PostgreSQL and Redis too', async () => {
    const up = await json(StatusDocument, 'up', '--detach', '--name', 'orphaned', '--nodes', '1');
    const pids = pidsOf(up);
    const runFile = path.join(home, 'orphaned', 'run.json');
    assert.ok(existsSync(runFile));
    const { supervisor } = JSON.parse(readFileSync(runFile, 'utf8')) as { supervisor: { pid: number } };
    process.kill(supervisor.pid, 'SIGKILL');
    await succeeded('down', '--name', 'orphaned');
    await allGone([supervisor.pid, ...pids]);
  });

  it('device reset opens the next incarnation of a device, whichever node answers', async () => {
    await json(StatusDocument, 'up', '--detach', '--name', 'reset', '--nodes', '2', ...lean);
    const reset = ['device', 'reset', 'room-1', '--name', 'reset'];
    assert.equal((await json(DeviceIncarnationDocument, ...reset)).incarnation, 1);
    const named = await json(DeviceIncarnationDocument, ...reset, '--incarnation', '7');
    assert.deepEqual([named.deviceId, named.incarnation], ['room-1', 7]);
    assert.match((await succeeded(...reset)).stdout, /^room-1 begins incarnation 8$/m);
    await refused(1, /known with incarnation 8: a new one must be above it/, ...reset, '--incarnation', '3');
    await refused(2, /is not a device id/, 'device', 'reset', 'a/b', '--name', 'reset');
    await succeeded('down', '--name', 'reset');
  });

  it('device-token prints a token, and an unknown target of chaos exits with 2', async () => {
    await json(StatusDocument, 'up', '--detach', '--name', 'tokens', '--nodes', '1', ...lean);
    const { stdout } = await succeeded('device-token', 'd1', '--name', 'tokens');
    assert.match(stdout.trim(), /^[\w-]{43}$/);
    // The broker would refuse a device of that name.
    for (const name of ['operator', 'node-7', 'thermomesh-drain', 'anonymous-1', 'a/b'])
      await refused(2, new RegExp(`"${name}"`), 'device-token', name, '--name', 'tokens');
    await succeeded('down', '--name', 'tokens');
    assert.equal((await mesh('chaos', 'nobody')).code, 2);
  });
});
