import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  HerdDocument,
  PhilosophersDocument,
  ZkChangeDocument,
  ZkEventDocument,
  ZkKafkaDocument,
  ZkNodeDocument,
  ZkStatDocument,
  ZkTreeDocument,
} from '@thermomesh/contracts';
import { until } from '@thermomesh/mesh/testing';
import { testKafka, type TestKafka } from '@thermomesh/servers';
import { cliOf, ownServers } from './cli-support.ts';
import { waitMs } from './support.ts';

let kafka: TestKafka;
let home: string;

before(async () => {
  home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-zk-cli-'));
  // A dead broker's registration ends with its session, so the session is short.
  kafka = await testKafka({ settings: { 'zookeeper.session.timeout.ms': '3000' } });
});
after(async () => {
  await kafka.remove();
  rmSync(home, { recursive: true, force: true });
});

const env = () => ({
  ...ownServers(home),
  KAFKA_BROKERS: '',
  ZOOKEEPER_HOSTS: kafka.zookeeper.hosts,
  // About twenty processes load the same modules.
  NODE_COMPILE_CACHE: path.join(home, 'compile-cache'),
});

const { json, refused, follow } = cliOf(env);

const seen = async (what: string, holds: () => boolean) =>
  until({ what, timeoutMs: waitMs }, async () => holds());

describe('mesh zk and the demonstrations', { concurrency: true }, () => {
  it('a write against an old version is refused, and a watch sees each change', async () => {
    const node = '/e2e/settings/batch';
    const watch = follow(ZkEventDocument, 'zk', 'watch', node, '--count', '4', '--format', 'json');
    await seen('the watch to be set', () => watch.documents.length === 1);
    const made = await json(
      ZkChangeDocument,
      ...['zk', 'create', node, '{"rows": 1}', '--parents', '--format', 'json'],
    );
    assert.deepEqual(made, { action: 'create', path: node, version: 0, nodes: 1 });
    await seen('the creation', () => watch.documents.length === 2);
    const set = await json(ZkChangeDocument, 'zk', 'set', node, '{"rows":2}', '--version', '0');
    assert.equal(set.version, 1);
    await seen('the change', () => watch.documents.length === 3);

    const big = path.join(home, 'big');
    writeFileSync(big, Buffer.alloc(70_000));
    await Promise.all([
      refused(1, /version 1 now, not 0: .*--version 1$/m, 'zk', 'set', node, 'x', '--version', '0'),
      refused(1, /68\.4 KiB exceed the 64\.0 KiB/, 'zk', 'set', node, '--file', big),
      refused(1, /has children: --recursive/, 'zk', 'delete', '/e2e/settings'),
    ]);
    const tree = await json(ZkTreeDocument, 'zk', 'tree', '/e2e/settings');
    assert.deepEqual(
      tree.nodes.map((each) => [each.path, each.children]),
      [
        ['/e2e/settings', 1],
        [node, 0],
      ],
    );
    const gone = await json(ZkChangeDocument, 'zk', 'delete', '/e2e/settings', '--recursive', '--yes');
    assert.deepEqual([gone.version, gone.nodes], [null, 2]);
    assert.equal(await watch.ended, 0);
    assert.deepEqual(
      watch.documents.map(({ event, version, data }) => ({ event, version, data })),
      [
        { event: 'absent', version: null, data: null },
        { event: 'created', version: 0, data: { rows: 1 } },
        { event: 'changed', version: 1, data: { rows: 2 } },
        { event: 'deleted', version: null, data: null },
      ],
    );
  });

  it('a private node opens only to its secret, which is on no command line', async () => {
    const secretFile = path.join(home, 'me.secret');
    writeFileSync(secretFile, 'me:a-secret-of-mine\n', { mode: 0o600 });
    const auth = ['--auth', secretFile];
    await json(ZkChangeDocument, 'zk', 'create', '/e2e-private', 'hush', '--acl', 'private', ...auth);
    const [, open, { acl }] = await Promise.all([
      refused(1, /\/e2e-private is not open to you.*--auth/, 'zk', 'get', '/e2e-private'),
      json(ZkNodeDocument, 'zk', 'get', '/e2e-private', ...auth),
      json(ZkStatDocument, 'zk', 'stat', '/e2e-private', ...auth),
    ]);
    assert.deepEqual([open.data, open.stat.version, open.stat.ephemeralOwner], ['hush', 0, null]);
    assert.deepEqual(
      acl?.map(({ scheme, permissions }) => [scheme, permissions.length]),
      [['digest', 5]],
    );
  });

  it('a dead leader wakes one candidate, but all of them in the naive recipe', async () => {
    const herd = await json(HerdDocument, 'demo', 'herd', '--nodes', '8', '--kills', '2');
    const [free, simple] = herd.arms;
    assert.ok(herd.ok && free !== undefined && simple !== undefined, JSON.stringify(herd));
    assert.deepEqual([free.leaders, simple.leaders], [3, 3]);
    // A connection that breaks by itself wakes its candidate. On a healthy machine none breaks.
    assert.ok(free.wakeUps <= 2 + free.breaks);
    assert.ok(simple.wakeUps >= 7 + 6);
    assert.ok(simple.requests > free.requests);
  });

  it('naive philosophers deadlock; with an order or a semaphore none starves', async () => {
    const table = await json(PhilosophersDocument, 'demo', 'philosophers', '--seconds', '1');
    assert.ok(table.ok, JSON.stringify(table));
    const [naive, ...ours] = table.arms;
    assert.equal(new Set(naive?.deadlock?.cycle).size, 5);
    assert.ok((naive?.deadlock?.mealsAfter ?? 0) >= 4);
    assert.deepEqual(
      ours.map(({ name, deadlock, starved, record }) => [name, deadlock, starved, record.violations]),
      [
        ['ordered', null, 0, 0],
        ['semaphore', null, 0, 0],
      ],
    );
    assert.ok(ours.every(({ record, meals }) => meals.length === 5 && record.acts >= 4 * 5));
  });

  it('zk kafka shows a new topic, and what the only broker leaves when it is killed', async () => {
    const watch = follow(ZkKafkaDocument, 'zk', 'kafka', '--watch');
    const last = () => watch.documents.at(-1);
    await seen(
      'the broker and the controller',
      () => last()?.brokers[0]?.id === 1 && last()?.controller === 1,
    );
    // Kafka's own tools created topics so while they used ZooKeeper.
    const topic = '{"version":1,"partitions":{"0":[1],"1":[1]}}';
    await json(ZkChangeDocument, 'zk', 'create', '/brokers/topics/e2e-topic', topic);
    const partitions = () => last()?.topics.find(({ name }) => name === 'e2e-topic')?.partitions ?? [];
    await seen('two leaders', () => partitions().filter(({ leaderAlive }) => leaderAlive).length === 2);
    assert.deepEqual(
      partitions().map(({ leader, leaderEpoch, inSync, underReplicated }) => ({
        leader,
        leaderEpoch,
        inSync,
        underReplicated,
      })),
      [0, 1].map(() => ({ leader: 1, leaderEpoch: 0, inSync: [1], underReplicated: false })),
    );

    await kafka.members[0]?.kill();
    await seen('the death', () => last()?.brokers.length === 0 && last()?.controller === null);
    const changes = watch.documents.flatMap((document) => document.changes);
    for (const change of ['topic e2e-topic is there', 'broker 1 is gone', 'controller 1 → none'])
      assert.ok(changes.includes(change), changes.join('; '));
    const now = await json(ZkKafkaDocument, 'zk', 'kafka');
    assert.deepEqual([now.brokers, now.controller, now.controllerEpoch, now.changes], [[], null, 1, []]);
    const left = now.topics.find(({ name }) => name === 'e2e-topic')?.partitions;
    assert.deepEqual(
      left?.map(({ leaderAlive, underReplicated }) => [leaderAlive, underReplicated]),
      [
        [false, true],
        [false, true],
      ],
    );
    watch.child.kill('SIGINT');
    assert.equal(await watch.ended, 0);
  });
});
