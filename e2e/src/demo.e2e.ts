import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BarrierDocument, CounterDocument, LocksDocument, TasksDocument } from '@thermomesh/contracts';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { cliOf, ownServers } from './cli-support.ts';

let zookeeper: TestEnsemble;
let home: string;

before(async () => {
  home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-demo-cli-'));
  zookeeper = await testZooKeeper();
});
after(async () => {
  await zookeeper.remove();
  rmSync(home, { recursive: true, force: true });
});

const { json } = cliOf(() => ({
  ...ownServers(home),
  KAFKA_BROKERS: '',
  ZOOKEEPER_HOSTS: zookeeper.hosts,
  // About twenty processes load the same modules.
  NODE_COMPILE_CACHE: path.join(home, 'compile-cache'),
}));

describe('mesh demo: recipes of ZooKeeper, used by real processes', { concurrency: 2 }, () => {
  it('no party passes a barrier too early or waits for a dead party', async () => {
    const { ok, barrier, rounds, findings } = await json(BarrierDocument, 'demo', 'barrier');
    assert.ok(ok, findings.join('; '));
    assert.deepEqual([barrier.setterKilled, barrier.passedBefore, barrier.passedAfter], [true, 0, 2]);
    assert.deepEqual(
      rounds.map(({ hazard, lost }) => [hazard, lost]),
      [
        ['late', []],
        ['slow', []],
        ['crashed', ['party-2']],
        ['replaced', []],
      ],
    );
  });

  it('another worker takes the task of a killed one, and each task has one result', async () => {
    const document = await json(TasksDocument, 'demo', 'tasks', '--tasks', '20');
    assert.ok(document.ok, document.findings.join('; '));
    assert.deepEqual([document.finished, document.failed], [20, 0]);
    assert.ok(document.orphans.length > 0 && document.reclaimed === document.orphans.length);
    assert.ok(document.executions >= 20 + document.reclaimed);
  });

  it('processes killed or cut off lose no increment of a counter and repeat none', async () => {
    const document = await json(CounterDocument, 'demo', 'counter', '--increments', '60');
    assert.ok(document.ok, document.findings.join('; '));
    assert.deepEqual([document.lost, document.doubled], [0, 0]);
    assert.ok(document.open <= 1 && document.value >= 3 * 60, JSON.stringify(document));
  });

  it('locks and permits never overlap wrongly, even when a holder is killed', async () => {
    const { ok, arms } = await json(LocksDocument, 'demo', 'locks', '--seconds', '5');
    assert.ok(ok, JSON.stringify(arms));
    const [readWrite, semaphore] = arms;
    assert.ok(readWrite !== undefined && semaphore !== undefined);
    assert.equal(readWrite.together['write'], 1);
    assert.ok((readWrite.together['read'] ?? 0) >= 2, 'readers never met');
    assert.equal(semaphore.together['all'], 2);
    assert.ok(arms.every(({ holdsAfter, acts }) => holdsAfter > 10 && acts > 30));
  });
});
