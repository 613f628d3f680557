import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { drainLimitsPath, type DrainLimitsDocument, type DrainLimitsView } from '@thermomesh/contracts';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { DynamicConfig, ZooKeeper, type Credentials } from '@thermomesh/zookeeper';
import { until } from '../testing.ts';
import { followDrainLimits, type DrainLimitsSource } from './zk-drain-limits.ts';

const initial = { batchRowsMax: 2_000, batchBytesMax: 1_048_576, batchLingerMs: 8 };
const frame = { queueBytesMax: 4_000_000 };
const sessionTimeoutMs = 2_000;
const adminSecret = 'operator:the-token-of-the-operator';

let server: TestEnsemble;
let admin: ZooKeeper;
let groups = 0;
/** Of this test. */
let path: string;
let started: DrainLimitsSource[] = [];
let heard: string[] = [];

before(async () => {
  server = await testZooKeeper({ tickTimeMs: 100 });
  admin = clientOf([{ scheme: 'digest', secret: adminSecret }]);
  await admin.whenConnected({ timeoutMs: 15_000 });
});
afterEach(async () => {
  await Promise.all(started.map(async (each) => each.stop()));
  [started, heard] = [[], []];
});
after(async () => {
  await admin.close();
  await server.remove();
});

function clientOf(auth: Credentials[] = []): ZooKeeper {
  const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs, auth });
  zk.start();
  return zk;
}

/** Two nodes; the second can hold less than the first. */
function follow(hosts = server.hosts): [DrainLimitsSource, DrainLimitsSource] {
  const [one, two] = [1, 2].map((node) => {
    const source = followDrainLimits({
      ...{ hosts, path, sessionTimeoutMs, initial, frame },
      onChanged: ({ version }) => heard.push(`${node} changed ${version}`),
      onRefused: (reason) => heard.push(`${node} refused ${reason}`),
      onFault: (error) => heard.push(`${node} ${String(error)}`),
    });
    source.start();
    started.push(source);
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
  await until(what, () => started.every((source) => holds(source.view())));
}

async function beginWith(document: DrainLimitsDocument): Promise<void> {
  groups += 1;
  path = `/thermomesh/test-${groups}/analytics`;
  await admin.ensurePath(path);
  await publish(document);
  follow();
  await untilBoth('the first document', ({ version }) => version === 0);
}

describe('published drain limits', () => {
  it('two nodes converge without a restart, on what was published and on what was taken back', async () => {
    groups += 1;
    path = `/thermomesh/test-${groups}/analytics`;
    await admin.ensurePath(path);
    const [one] = follow();
    await untilBoth('the first look', ({ fresh }) => fresh);
    const fixed = { source: 'static', version: null, fresh: true, refused: null };
    assert.deepEqual(one.view(), { limits: initial, ...fixed });
    const version = await publish({ batchRowsMax: 500 });
    await untilBoth('500 rows', (view) => view.version === version);
    for (const source of started) {
      const limits = { ...initial, batchRowsMax: 500 };
      assert.deepEqual(source.view(), {
        limits,
        ...{ source: 'zookeeper', version, fresh: true, refused: null },
      });
    }
    await assert.rejects(publish({ batchRowsMax: 7 }, version + 1), { code: 'zookeeper.bad_version' });
    await admin.deleteTree(drainLimitsPath(path));
    await untilBoth('static limits again', ({ source }) => source === 'static');
    assert.deepEqual(one.view().limits, initial);
  });

  it('a-bad-document-changes-nothing-and-is-told', async () => {
    await beginWith({ batchRowsMax: 500 });
    let version = 0;
    for (const bad of [
      { batchRowsMax: 0 },
      { batchRowMax: 100 },
      { batchBytesMax: frame.queueBytesMax + 1 },
      'batchRowsMax=100',
    ]) {
      heard = [];
      await publish(bad);
      await untilBoth('the refusal', ({ refused }) => refused !== null);
      for (const source of started) {
        const view = source.view();
        assert.deepEqual([view.limits, view.version], [{ ...initial, batchRowsMax: 500 }, version]);
      }
      assert.equal(heard.filter((line) => line.includes('refused')).length, 2);
      const good = await publish({ batchRowsMax: 500 });
      await untilBoth('a good one again', (view) => view.version === good && view.refused === null);
      version = good;
    }
  });

  it('nobody-but-the-operator-can-write-or-remove-them', async () => {
    await beginWith({ batchRowsMax: 500 });
    const anybody = clientOf();
    try {
      await anybody.whenConnected({ timeoutMs: 15_000 });
      const node = drainLimitsPath(path);
      const refused = { code: 'zookeeper.no_auth' };
      await assert.rejects(anybody.setData(`${node}/value`, Buffer.from('{}')), refused);
      await assert.rejects(anybody.delete(`${node}/value`), refused);
      await assert.rejects(anybody.create(`${node}/other`), refused);
    } finally {
      await anybody.close();
    }
  });

  it('an-outage-keeps-the-last-and-what-was-published-in-it-follows', async () => {
    await beginWith({ batchRowsMax: 500, batchLingerMs: 2 });
    const [member] = server.members;
    await member!.kill();
    await untilBoth('the outage', ({ fresh }) => !fresh);
    for (const source of started) {
      const { limits, version } = source.view();
      assert.deepEqual([limits, version], [{ ...initial, batchRowsMax: 500, batchLingerMs: 2 }, 0]);
    }
    await member!.restart();
    const version = await admin.retry(async () => publish({ batchRowsMax: 100 }), { timeoutMs: 15_000 });
    await untilBoth('what followed', (view) => view.version === version);
    assert.equal(started[0]?.view().limits.batchRowsMax, 100);
  });

  it('a-node-that-finds-no-ZooKeeper-starts-drains-by-its-settings-and-stops', async () => {
    path = '/thermomesh/nowhere';
    const [one, two] = follow('127.0.0.1:1');
    assert.deepEqual(one.view(), {
      limits: initial,
      ...{ source: 'static', version: null, fresh: false, refused: null },
    });
    await Promise.all([one.stop(), two.stop()]);
  });
});
