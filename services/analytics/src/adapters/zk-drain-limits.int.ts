import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { drainLimitsPath, type DrainLimitsDocument, type DrainLimitsView } from '@thermomesh/contracts';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { DynamicConfig, readableAcl, ZooKeeper, type Credentials } from '@thermomesh/zookeeper';
import { until } from '../testing.ts';
import { followDrainLimits, type DrainLimitsSource } from './zk-drain-limits.ts';

const initial = { batchRowsMax: 2_000, batchBytesMax: 1_048_576, batchLingerMs: 8 };
const frame = { queueBytesMax: 4_000_000 };
/** Nobody loses it. */
const sessionTimeoutMs = 10_000;
const adminSecret = 'operator:the-token-of-the-operator';

let server: TestEnsemble;
let admin: ZooKeeper;
let groups = 0;
/** Of this test. */
let path: string;
let started: { source: DrainLimitsSource; zk: ZooKeeper }[] = [];
let heard: string[] = [];

before(async () => {
  server = await testZooKeeper();
  admin = clientOf([{ scheme: 'digest', secret: adminSecret }]);
  await admin.whenConnected({ timeoutMs: 30_000 });
});
afterEach(async () => {
  await Promise.all(started.map(stop));
  [started, heard] = [[], []];
});
after(async () => {
  await admin.close();
  await server.remove();
});

/** As the node does it. */
async function stop({ source, zk }: (typeof started)[number]): Promise<void> {
  await zk.close();
  await source.stop();
}

function clientOf(auth: Credentials[] = []): ZooKeeper {
  const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs, auth });
  zk.start();
  return zk;
}

/** Two nodes; the second can hold less than the first. */
function follow(hosts = server.hosts): [DrainLimitsSource, DrainLimitsSource] {
  const [one, two] = [1, 2].map((node) => {
    const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
    const auth = [{ scheme: 'digest', secret: adminSecret }] as const;
    zk.start();
    const source = followDrainLimits({
      ...{ zk, path, adminSecret, initial, frame },
      asAdmin: () => new ZooKeeper({ hosts, sessionTimeoutMs, auth: [...auth] }),
      onChanged: ({ version }) => heard.push(`${node} changed ${version}`),
      onRefused: (reason) => heard.push(`${node} refused ${reason}`),
      onFault: (error) => heard.push(`${node} ${String(error)}`),
    });
    source.start();
    started.push({ source, zk });
    return source;
  });
  return [one!, two!];
}

/** As the operator's command does it: whatever is written is its business. */
async function publish(document: unknown, version?: number): Promise<number> {
  const any = new DynamicConfig<unknown>(admin, {
    ...{ path: drainLimitsPath(path), initial: {}, adminSecret },
    parse: (value) => value,
  });
  return any.publish(document, version);
}

async function untilBoth(what: string, holds: (view: DrainLimitsView) => boolean): Promise<void> {
  await until(what, () => started.every(({ source }) => holds(source.view())));
}

async function beginWith(document: DrainLimitsDocument): Promise<void> {
  groups += 1;
  path = `/thermomesh/test-${groups}/analytics`;
  follow();
  await untilBoth('the document that holds nothing', ({ version }) => version === 0);
  const version = await publish(document);
  await untilBoth('the first document', (view) => view.version === version);
}

describe('published drain limits', () => {
  it('two nodes converge without a restart, on what was published and on what was taken back', async () => {
    groups += 1;
    path = `/thermomesh/test-${groups}/analytics`;
    const [one] = follow();
    await untilBoth('the document that holds nothing', ({ version }) => version === 0);
    assert.deepEqual([one.view().limits, one.view().fresh], [initial, true]);
    const version = await publish({ batchRowsMax: 500 });
    await untilBoth('500 rows', (view) => view.version === version);
    for (const { source } of started) {
      const limits = { ...initial, batchRowsMax: 500 };
      assert.deepEqual(source.view(), {
        limits,
        ...{ source: 'zookeeper', version, fresh: true, refused: null },
      });
    }
    await assert.rejects(publish({ batchRowsMax: 7 }, version + 1), { code: 'zookeeper.bad_version' });
    await admin.deleteTree(drainLimitsPath(path));
    await untilBoth('its own limits again', ({ limits }) => limits.batchRowsMax === initial.batchRowsMax);
    // Somebody has to guard the next one.
    await untilBoth('another one that holds nothing', (view) => view.version === 0);
  });

  it('a-bad-document-changes-nothing-and-is-told', async () => {
    await beginWith({ batchRowsMax: 500 });
    let version = 1;
    for (const bad of [
      { batchRowsMax: 0 },
      { batchRowMax: 100 },
      { batchBytesMax: frame.queueBytesMax + 1 },
      'batchRowsMax=100',
    ]) {
      heard = [];
      await publish(bad);
      await untilBoth('the refusal', ({ refused }) => refused !== null);
      for (const { source } of started) {
        const view = source.view();
        assert.deepEqual([view.limits, view.version], [{ ...initial, batchRowsMax: 500 }, version]);
      }
      assert.equal(heard.filter((line) => line.includes('refused')).length, 2);
      const good = await publish({ batchRowsMax: 500 });
      await untilBoth('a good one again', (view) => view.version === good && view.refused === null);
      version = good;
    }
  });

  it('nobody-but-the-operator-can-write-or-remove-them-from-their-first-moment-on', async () => {
    groups += 1;
    path = `/thermomesh/test-${groups}/analytics`;
    const node = drainLimitsPath(path);
    const anybody = clientOf();
    const refused = { code: 'zookeeper.no_auth' };
    const assertClosed = async () => {
      await assert.rejects(anybody.setData(`${node}/value`, Buffer.from('{}')), refused);
      await assert.rejects(anybody.delete(`${node}/value`), refused);
      await assert.rejects(anybody.create(`${node}/other`), refused);
      await assert.rejects(anybody.delete(node), { code: 'zookeeper.not_empty' });
      await assert.rejects(anybody.setAcl(node, readableAcl('me:mine')), refused);
    };
    try {
      await anybody.whenConnected({ timeoutMs: 30_000 });
      // Told by the server in the moment in which the node is there; nobody has published anything yet.
      const there = Promise.withResolvers<void>();
      assert.equal(await anybody.exists(`${node}/value`, () => there.resolve()), undefined);
      follow();
      await there.promise;
      await assertClosed();
      await publish({ batchRowsMax: 500 });
      await assertClosed();
    } finally {
      await anybody.close();
    }
  });

  it('a-document-that-somebody-else-has-planted-is-never-followed', async () => {
    groups += 1;
    path = `/thermomesh/test-${groups}/analytics`;
    const node = drainLimitsPath(path);
    const planted = Buffer.from('{"batchRowsMax":1}');
    const mine = readableAcl('me:a-secret-of-mine');
    const me = clientOf([{ scheme: 'digest', secret: 'me:a-secret-of-mine' }]);
    try {
      await me.whenConnected({ timeoutMs: 30_000 });
      // Open to all, or with its own secret below what is open: made anew.
      await me.ensurePath(node);
      await me.create(`${node}/value`, planted, { acl: mine });
      follow();
      await untilBoth('the document that holds nothing', ({ version }) => version === 0);
      assert.deepEqual(started[0]?.source.view().limits, initial);
      await assert.rejects(me.setData(`${node}/value`, planted), { code: 'zookeeper.no_auth' });
      assert.equal(
        heard.some((line) => line.includes('Error')),
        false,
        heard.join('; '),
      );
      await Promise.all(started.splice(0).map(stop));

      // What cannot be made anew is left alone, and said.
      groups += 1;
      path = `/thermomesh/test-${groups}/analytics`;
      const kept = drainLimitsPath(path);
      await me.ensurePath(path);
      await me.create(kept, Buffer.alloc(0), { acl: mine });
      await me.create(`${kept}/value`, planted, { acl: mine });
      follow();
      const told = () => heard.filter((line) => line.includes("is not the operator's")).length;
      await until('both to say whose it is', () => told() === 2);
      const views = started.map(({ source }) => source.view());
      assert.deepEqual(
        views.map(({ limits, source }) => [limits, source]),
        [1, 2].map(() => [initial, 'static']),
      );
    } finally {
      await me.close();
    }
  });

  it('an-outage-keeps-the-last-and-what-was-published-in-it-follows', async () => {
    await beginWith({ batchRowsMax: 500, batchLingerMs: 2 });
    const [member] = server.members;
    await member!.kill();
    await untilBoth('the outage', ({ fresh }) => !fresh);
    for (const { source } of started) {
      const { limits, version } = source.view();
      assert.deepEqual([limits, version], [{ ...initial, batchRowsMax: 500, batchLingerMs: 2 }, 1]);
    }
    await member!.restart();
    const version = await admin.retry(async () => publish({ batchRowsMax: 100 }), { timeoutMs: 30_000 });
    await untilBoth('what followed', (view) => view.version === version);
    assert.equal(started[0]?.source.view().limits.batchRowsMax, 100);
  });

  it('a-node-that-finds-no-ZooKeeper-starts-drains-by-its-settings-and-stops', async () => {
    path = '/thermomesh/nowhere';
    const [one, two] = follow('127.0.0.1:1');
    assert.deepEqual(one.view(), {
      limits: initial,
      ...{ source: 'static', version: null, fresh: false, refused: null },
    });
    assert.deepEqual(two.view().limits, initial);
    await Promise.all(started.map(stop));
  });
});
