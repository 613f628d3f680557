import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { drainLimitsPath, type DrainLimitsDocument, type DrainLimitsView } from '@thermomesh/contracts';
import { DynamicConfig, readableAcl, ZooKeeper } from '@thermomesh/zookeeper';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import type { DrainLimitsSource } from '../core/ports.ts';
import { followDrainLimits } from './zk-drain-limits.ts';

const initial = { batchRowsMax: 2_000, batchBytesMax: 1_048_576, batchLingerMs: 8 };
const frame = { queueBytesMax: 4_000_000 };
/** Long enough that no session expires in these tests. */
const sessionTimeoutMs = 10_000;
const adminSecret = 'operator:the-token-of-the-operator';

const { clients, ensemble, freshPath } = useZooKeeper();
let admin: ZooKeeper;
/** The group's ZooKeeper node in the present test. */
let path: string;
let started: { source: DrainLimitsSource; zk: ZooKeeper }[] = [];
let heard: string[] = [];

beforeEach(async () => {
  path = `${freshPath()}/analytics`;
  admin = await clients.connect({ auth: [{ scheme: 'digest', secret: adminSecret }] });
});
afterEach(async () => {
  await Promise.all(started.map(stop));
  [started, heard] = [[], []];
});

/** Stops in the order in which the node does. */
async function stop({ source, zk }: (typeof started)[number]): Promise<void> {
  await zk.close();
  await source.stop();
}

/** Starts two nodes that follow the limits. */
function follow(hosts = ensemble().hosts): [DrainLimitsSource, DrainLimitsSource] {
  const [one, two] = [1, 2].map((node) => {
    const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
    const auth = [{ scheme: 'digest', secret: adminSecret }] as const;
    zk.start();
    const source = followDrainLimits({
      zk,
      path,
      adminSecret,
      initial,
      frame,
      asAdmin: () => new ZooKeeper({ hosts, sessionTimeoutMs, auth: [...auth] }),
      onChanged: ({ version }) => heard.push(`${node} changed ${version}`),
      onRefused: (reason) => heard.push(`${node} refused ${reason}`),
      onFailed: (error) => heard.push(`${node} ${String(error)}`),
    });
    source.start();
    started.push({ source, zk });
    return source;
  });
  return [one!, two!];
}

/** Writes a document as the operator does; it may be an invalid one. */
async function publish(document: unknown, version?: number): Promise<number> {
  const any = new DynamicConfig<unknown>(admin, {
    path: drainLimitsPath(path),
    initial: {},
    adminSecret,
    parse: (value) => value,
  });
  return any.publish(document, version);
}

async function untilBoth(what: string, holds: (view: DrainLimitsView) => boolean): Promise<void> {
  await until(what, () => started.every(({ source }) => holds(source.view())));
}

async function beginWith(document: DrainLimitsDocument): Promise<void> {
  follow();
  await untilBoth('the empty document', ({ version }) => version === 0);
  const version = await publish(document);
  await untilBoth('the first document', (view) => view.version === version);
}

describe('published drain limits', () => {
  it('two nodes converge on published and withdrawn limits without a restart', async () => {
    const [one] = follow();
    await untilBoth('the empty document', ({ version }) => version === 0);
    assert.deepEqual([one.view().limits, one.view().fresh], [initial, true]);
    const version = await publish({ batchRowsMax: 500 });
    await untilBoth('500 rows', (view) => view.version === version);
    for (const { source } of started) {
      const limits = { ...initial, batchRowsMax: 500 };
      assert.deepEqual(source.view(), {
        limits,
        source: 'zookeeper',
        version,
        fresh: true,
        refused: null,
      });
    }
    await assert.rejects(publish({ batchRowsMax: 7 }, version + 1), { code: 'zookeeper.bad_version' });
    await admin.deleteTree(drainLimitsPath(path));
    await untilBoth('its own limits again', ({ limits }) => limits.batchRowsMax === initial.batchRowsMax);
    // The nodes guard the place of the next document.
    await untilBoth('another empty document', (view) => view.version === 0);
  });

  it('an invalid document changes no limit and is reported', async () => {
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

  it('only the operator can write or remove the document, from its creation on', async () => {
    const node = drainLimitsPath(path);
    const other = await clients.connect();
    const refused = { code: 'zookeeper.no_auth' };
    const assertClosed = async () => {
      await assert.rejects(other.setData(`${node}/value`, Buffer.from('{}')), refused);
      await assert.rejects(other.delete(`${node}/value`), refused);
      await assert.rejects(other.create(`${node}/other`), refused);
      await assert.rejects(other.delete(node), { code: 'zookeeper.not_empty' });
      await assert.rejects(other.setAcl(node, readableAcl('me:mine')), refused);
    };
    // The server reports the node at the moment of its creation, before anything is published.
    const there = Promise.withResolvers<void>();
    assert.equal(await other.exists(`${node}/value`, () => there.resolve()), undefined);
    follow();
    await there.promise;
    await assertClosed();
    await publish({ batchRowsMax: 500 });
    await assertClosed();
  });

  it('a document that another client has planted is never followed', async () => {
    const node = drainLimitsPath(path);
    const planted = Buffer.from('{"batchRowsMax":1}');
    const mine = readableAcl('me:a-secret-of-mine');
    const me = await clients.connect({ auth: [{ scheme: 'digest', secret: 'me:a-secret-of-mine' }] });
    // The folder is open to all, or the document has another secret: both are made again.
    await me.ensurePath(node);
    await me.create(`${node}/value`, planted, { acl: mine });
    follow();
    await untilBoth('the empty document', ({ version }) => version === 0);
    assert.deepEqual(started[0]?.source.view().limits, initial);
    await assert.rejects(me.setData(`${node}/value`, planted), { code: 'zookeeper.no_auth' });
    assert.equal(
      heard.some((line) => line.includes('Error')),
      false,
      heard.join('; '),
    );
    await Promise.all(started.splice(0).map(stop));

    // A document that cannot be made again is left alone, and the node reports it.
    path = `${freshPath()}/analytics`;
    const kept = drainLimitsPath(path);
    await me.ensurePath(path);
    await me.create(kept, Buffer.alloc(0), { acl: mine });
    await me.create(`${kept}/value`, planted, { acl: mine });
    follow();
    const reports = () => heard.filter((line) => line.includes("is not the operator's")).length;
    await until('both to report it', () => reports() === 2);
    const views = started.map(({ source }) => source.view());
    assert.deepEqual(
      views.map(({ limits, source }) => [limits, source]),
      [1, 2].map(() => [initial, 'static']),
    );
  });

  it('an outage keeps the last limits, and those published in it follow', async () => {
    await beginWith({ batchRowsMax: 500, batchLingerMs: 2 });
    const [member] = ensemble().members;
    await member!.kill();
    await untilBoth('the outage', ({ fresh }) => !fresh);
    for (const { source } of started) {
      const { limits, version } = source.view();
      assert.deepEqual([limits, version], [{ ...initial, batchRowsMax: 500, batchLingerMs: 2 }, 1]);
    }
    await member!.restart();
    const version = await admin.retry(async () => publish({ batchRowsMax: 100 }), { timeoutMs: 30_000 });
    await untilBoth('the limits of the outage', (view) => view.version === version);
    assert.equal(started[0]?.source.view().limits.batchRowsMax, 100);
  });

  it('a node without ZooKeeper starts, keeps its static limits and stops', async () => {
    path = '/thermomesh/nowhere';
    const [one, two] = follow('127.0.0.1:1');
    assert.deepEqual(one.view(), {
      limits: initial,
      source: 'static',
      version: null,
      fresh: false,
      refused: null,
    });
    assert.deepEqual(two.view().limits, initial);
    await Promise.all(started.map(stop));
  });
});
