import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { identify, isAlive, sendSignal, type ProcessIdentity } from '@thermomesh/servers';
import { readMeshConfig } from '../../config.ts';
import { layoutOf, type Layout } from '../../mesh/files/layout.ts';
import {
  livingSupervisor,
  lockSupervisor,
  readRunFile,
  writeRunFile,
  type ProcessRecord,
} from '../../mesh/files/run-file.ts';
import { ensurePaymentSecrets, ensureSecret } from '../../mesh/files/secrets.ts';
import { until } from '../../mesh/until.ts';
import { downMesh } from '../down.ts';
import { holdRestart, isHeld, releaseRestart } from '../state/holds.ts';
import { rotateLog } from './child.ts';
import { fakeSpec } from './fixtures/specs.ts';
import { endLeftovers } from './leftovers.ts';
import type { MeshEvent } from './spec.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';

const homes: string[] = [];
function newHome(): { home: string; layout: Layout; diary: string } {
  const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-supervisor-'));
  homes.push(home);
  const layout = layoutOf(home, 'fake');
  ensureSecret(layout);
  return { home, layout, diary: path.join(home, 'diary') };
}
after(() => {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

const within = (what: string) => ({ what, timeoutMs: 20_000 });
const linesOf = (diary: string) => (existsSync(diary) ? readFileSync(diary, 'utf8').trim().split('\n') : []);

function supervise(
  layout: Layout,
  stages: Parameters<typeof createSupervisor>[0],
  last?: string,
  lateWaitMaxMs = 20_000,
) {
  const events: MeshEvent[] = [];
  let processes: ProcessRecord[] = [];
  const supervisor = createSupervisor(stages, {
    onEvent: (event) => events.push(event),
    onChange: (records) => (processes = records),
    isHeld: (name) => isHeld(layout, name),
    lastOf: async () => last,
    lateWaitMaxMs,
  });
  return { supervisor, events, processes: () => processes };
}

async function identityOf(supervisor: Supervisor, name: string): Promise<ProcessIdentity> {
  return until(within(`${name} to be ready`), async () => {
    const record = supervisor.processes().find((process) => process.name === name);
    return record?.ready === true && record.pid !== null ? identify(record.pid) : undefined;
  });
}

describe('supervisor', () => {
  it('stages start in order and stop in the opposite order, the coordinator last', async () => {
    const { layout, diary } = newHome();
    const nodes = ['node-1', 'node-2'].map((name) => fakeSpec(layout, diary, name));
    const { supervisor } = supervise(
      layout,
      [{ specs: [fakeSpec(layout, diary, 'gateway')] }, { specs: nodes }],
      'node-2',
    );
    await supervisor.start();
    await supervisor.stop();
    const lines = linesOf(diary).map((line) => line.trim());
    assert.equal(lines[0], 'start gateway');
    assert.deepEqual(lines.slice(1, 3).toSorted(), ['start node-1', 'start node-2']);
    assert.deepEqual(lines.slice(3), ['stop node-1', 'stop node-2', 'stop gateway']);
  });

  it('an unavailable part is off with one line and stops nothing else', async () => {
    const { layout, diary } = newHome();
    const absent = {
      ...fakeSpec(layout, diary, 'redis'),
      firstStartsMax: 1,
      launch: async () => {
        throw new MeshError('redis.absent', 'redis-server is absent: install it');
      },
    };
    const { supervisor, events, processes } = supervise(layout, [
      { specs: [absent], part: 'checkout' },
      { specs: [fakeSpec(layout, diary, 'gateway')] },
      { specs: [fakeSpec(layout, diary, 'billing-1', 'broken')], part: 'payments' },
      { specs: [], part: 'tables', before: async () => Promise.reject(new Error('no such table')) },
    ]);
    await supervisor.start();
    const off = events.filter((event) => event.event === 'part.off');
    assert.deepEqual(
      off.slice().sort((a, b) => a.part.localeCompare(b.part)),
      [
        { event: 'part.off', part: 'checkout', reason: 'redis-server is absent: install it' },
        {
          event: 'part.off',
          part: 'payments',
          reason: `billing-1 does not start: it ended without a word\n  its log: ${layout.logFile('billing-1')}`,
        },
        { event: 'part.off', part: 'tables', reason: 'no such table' },
      ],
    );
    assert.equal(events.filter((event) => 'name' in event && event.name === 'redis').length, 0);
    assert.deepEqual(
      processes().map(({ name, ready }) => [name, ready]),
      [['gateway', true]],
    );
    await supervisor.stop();
    assert.equal(linesOf(diary).at(-1)?.trim(), 'stop gateway');
  });

  it('the start waits for a late part up to a limit, and lists it once it is ready', async () => {
    const { layout, diary } = newHome();
    const fetched = Promise.withResolvers<undefined>();
    const before = () => fetched.promise;
    const late = (name: string, more = {}) => ({
      specs: [fakeSpec(layout, diary, name)],
      part: name,
      late: true,
      ...more,
    });
    const { supervisor } = supervise(
      layout,
      [late('kafka-1', { before }), late('zookeeper-1', { before: () => new Promise(() => undefined) })],
      undefined,
      1,
    );
    await supervisor.start();
    assert.deepEqual(supervisor.processes(), []);
    fetched.resolve(undefined);
    await identityOf(supervisor, 'kafka-1');
    assert.deepEqual(
      supervisor.processes().map(({ name }) => name),
      ['kafka-1'],
    );
    await supervisor.stop();
  });

  it('later stages do not wait for a part', async () => {
    const { layout, diary } = newHome();
    const prepared = Promise.withResolvers<undefined>();
    const { supervisor } = supervise(layout, [
      { specs: [fakeSpec(layout, diary, 'billing-1')], part: 'payments', before: () => prepared.promise },
      { specs: [fakeSpec(layout, diary, 'gateway')] },
    ]);
    const started = supervisor.start();
    await identityOf(supervisor, 'gateway');
    assert.deepEqual(linesOf(diary), ['start gateway']);
    prepared.resolve(undefined);
    await started;
    await supervisor.stop();
    assert.deepEqual(
      linesOf(diary).map((line) => line.trim()),
      ['start gateway', 'start billing-1', 'stop gateway', 'stop billing-1'],
    );
  });

  it('a killed process restarts; a held process restarts only when released', async () => {
    const { layout, diary } = newHome();
    const { supervisor, events } = supervise(layout, [{ specs: [fakeSpec(layout, diary, 'node-1')] }]);
    await supervisor.start();
    try {
      const first = await identityOf(supervisor, 'node-1');
      sendSignal(first.pid, 'SIGKILL');
      const second = await until(within('a new process'), async () => {
        const now = await identityOf(supervisor, 'node-1');
        return now.pid !== first.pid && now;
      });
      holdRestart(layout, 'node-1');
      sendSignal(second.pid, 'SIGKILL');
      await until(within('the hold to be noticed'), async () =>
        events.some((event) => event.event === 'process.restart_pending' && event.held),
      );
      assert.equal(linesOf(diary).length, 2);
      releaseRestart(layout, 'node-1');
      await identityOf(supervisor, 'node-1');
      assert.equal(linesOf(diary).length, 3);
    } finally {
      await supervisor.stop();
    }
  });

  it('a wrong setting ends the start at once, and the setting is named', async () => {
    const { layout, diary } = newHome();
    const { supervisor } = supervise(layout, [
      { specs: [fakeSpec(layout, diary, 'gateway', 'misconfigured')] },
    ]);
    await assert.rejects(supervisor.start(), /gateway does not start: .*\n {2}LIMIT must be .*not "abc"\n/);
    await supervisor.stop();
    assert.deepEqual(
      linesOf(diary).map((line) => line.trim()),
      ['start gateway'],
    );
  });

  it('a process that never becomes ready fails the start and names its log', async () => {
    const { layout, diary } = newHome();
    const { supervisor } = supervise(layout, [{ specs: [fakeSpec(layout, diary, 'gateway', 'broken')] }]);
    await assert.rejects(
      supervisor.start(),
      /gateway does not start: it ended without a word\n  its log: .*gateway\.log/,
    );
    await supervisor.stop();
    assert.equal(linesOf(diary).length, 4);
  });

  it('a process that ignores SIGTERM or is frozen is killed', async () => {
    const { layout, diary } = newHome();
    const deaf = fakeSpec(layout, diary, 'node-1', 'deaf', 200);
    const frozen = fakeSpec(layout, diary, 'node-2');
    const { supervisor } = supervise(layout, [{ specs: [deaf, frozen] }]);
    await supervisor.start();
    const identities = [await identityOf(supervisor, 'node-1'), await identityOf(supervisor, 'node-2')];
    sendSignal(identities[1]?.pid ?? 0, 'SIGSTOP');
    await supervisor.stop();
    for (const identity of identities) assert.equal(await isAlive(identity), false);
    assert.equal(linesOf(diary).at(-1), 'stop node-2');
  });
});

describe('after kill -9 of the supervisor', () => {
  it('down ends the processes of a killed supervisor and no others', async () => {
    const { home, layout, diary } = newHome();
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
      stdio: 'ignore',
    });
    const killed = spawn(
      process.execPath,
      [path.join(import.meta.dirname, 'fixtures/supervisor.ts'), home, diary],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    try {
      await new Promise((resolve) => killed.once('message', resolve));
      killed.kill('SIGKILL');
      await new Promise((resolve) => killed.once('exit', resolve));
      const run = readRunFile(layout);
      assert.ok(run);
      const left = await Promise.all(run.processes.map(async ({ pid }) => identify(pid ?? 0)));
      assert.equal(left.filter((identity) => identity !== undefined).length, 2, 'its processes run on');
      const innocent = await identify(bystander.pid ?? 0);
      assert.ok(innocent);
      // The pid of a dead process was reused by another one; one process is missing in the file.
      const stranger = {
        ...run.processes[0],
        name: 'node-2',
        pid: innocent.pid,
        startTime: '1',
      } as ProcessRecord;
      const unrecorded = run.processes.filter(({ name }) => name !== 'node-1');
      writeRunFile(layout, { ...run, processes: [...unrecorded, stranger] });

      const config = { ...readMeshConfig(), home };
      const result = await downMesh(config, 'fake', () => undefined);
      assert.equal(result.supervisor, false);
      assert.ok(result.leftovers >= 1);
      if (process.platform === 'linux') assert.equal(result.leftovers, 2);
      for (const identity of left) {
        if (identity !== undefined && process.platform === 'linux')
          assert.equal(await isAlive(identity), false);
      }
      assert.equal(await isAlive(innocent), true);
      assert.equal(await endLeftovers(layout, () => undefined), 0);
    } finally {
      killed.kill('SIGKILL');
      bystander.kill('SIGKILL');
    }
  });

  it('the lock of a dead supervisor is taken over, that of a living one is not', async () => {
    const { layout } = newHome();
    writeFileSync(layout.lockFile, JSON.stringify({ pid: process.pid, startTime: 'another life' }));
    const unlock = await lockSupervisor(layout, 'fake');
    assert.equal((await livingSupervisor(layout))?.pid, process.pid);
    await assert.rejects(lockSupervisor(layout, 'fake'), { code: 'mesh.already_running' });
    unlock();
    assert.equal(await livingSupervisor(layout), undefined);
  });
});

describe('state on disk', () => {
  it('secret and run file are readable by their owner only', () => {
    const { layout } = newHome();
    const secret = ensureSecret(layout);
    assert.ok(secret.length >= 32);
    assert.equal(ensureSecret(layout), secret);
    const supervisor = { pid: 1, startTime: '1' };
    writeRunFile(layout, {
      name: 'fake',
      state: 'running',
      supervisor,
      mqttUrl: '',
      httpUrl: '',
      databaseUrl: null,
      redisUrl: null,
      processes: [],
    });
    ensurePaymentSecrets(layout);
    const { billingSecretFile, processorSecretFile, checkoutSecretFile } = layout;
    const ofPayments = [billingSecretFile, processorSecretFile, checkoutSecretFile];
    for (const file of [layout.secretFile, layout.runFile, ...ofPayments])
      assert.equal(statSync(file).mode & 0o777, 0o600);
    const texts = [layout.secretFile, ...ofPayments].map((file) => readFileSync(file, 'utf8'));
    assert.equal(new Set(texts).size, 4);
    ensurePaymentSecrets(layout);
    assert.equal(readFileSync(billingSecretFile, 'utf8'), texts[1]);
  });

  it('a log that has grown too long is moved, and its writer continues', () => {
    const { home } = newHome();
    const file = path.join(home, 'x.log');
    writeFileSync(file, 'old\n');
    assert.equal(rotateLog(file, 100), false);
    assert.equal(rotateLog(file, 2), true);
    writeFileSync(file, 'new\n', { flag: 'a' });
    assert.equal(readFileSync(file, 'utf8'), 'new\n');
    assert.equal(readFileSync(`${file}.1`, 'utf8'), 'old\n');
  });
});
