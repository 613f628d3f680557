import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLog, createMetrics, type CrashHook } from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, openSession, type SqlPool } from '@thermomesh/sql';
import { openDrainSource } from './adapters/mqtt-drain-source.ts';
import { openDrainStore } from './adapters/pg-drain-store.ts';
import { createCoordinator, type Coordinator } from './coordinator.ts';
import { createDrainMetrics } from './metrics.ts';
import { publishReadings, secret, startGateway, until, type Gateway } from './testing.ts';

/** Nothing in these tests may depend on a lease or a lock that runs out. */
const foreverMs = 3_600_000;
const session = {
  applicationName: 'test-drain',
  connectTimeoutMs: 5_000,
  statementTimeoutMs: foreverMs,
  lockTimeoutMs: foreverMs,
  idleInTransactionTimeoutMs: foreverMs,
};
let database: TestDatabase;
let pool: SqlPool;
let gateway: Gateway;
let nodes: Coordinator[] = [];

before(async () => {
  [database, gateway] = await Promise.all([testDatabase(), startGateway()]);
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});
after(async () => {
  await pool.close();
  await Promise.all([database.drop(), gateway.remove()]);
});
/** Messages that any node got although they were committed: a batch of nothing else leaves no record. */
let redelivered = 0;
beforeEach(async () => {
  redelivered = 0;
  await pool.query('TRUNCATE readings, devices, drain_batches');
});
afterEach(() => {
  for (const node of nodes) node.close();
  nodes = [];
});

interface Hooks {
  crash?: CrashHook;
  sqlAnswers?: () => boolean;
  pruneIntervalMs?: number;
  /** Stands before the real one. */
  beforeSource?: () => Promise<void>;
}

/** A node's coordinator as the service composes it, with batches of two. */
function coordinator(nodeId: number, hooks: Hooks = {}): Coordinator {
  const { crash = () => undefined, sqlAnswers = () => true, pruneIntervalMs = foreverMs } = hooks;
  const node = createCoordinator({
    nodeId,
    crash,
    sqlAnswers,
    log: createLog(`test-${nodeId}`, 'silent'),
    metrics: {
      ...createDrainMetrics(createMetrics()),
      batchCommitted: (applied) => void (redelivered += applied.redelivered),
    },
    leaseMs: foreverMs,
    leaseRenewMs: foreverMs,
    retention: { keptHours: 1, rowsMax: 100, intervalMs: pruneIntervalMs },
    retry: { minMs: 10, maxMs: 100 },
    limits: () => ({ rowsMax: 2, bytesMax: 1024 * 1024, lingerMs: 0 }),
    openStore: () => openDrainStore({ ...session, url: database.url }),
    openSource: async (epoch) => {
      await hooks.beforeSource?.();
      return openDrainSource({
        address: gateway.address,
        ...{ nodeId, secret, epoch, timeoutMs: 5_000, keepaliveSeconds: 60, queueBytesMax: 1024 * 1024 },
        onFault: (error) => assert.fail(error as Error),
      });
    },
    announce: async () => undefined,
    currentHolder: async () => null,
    onDeposed: () => undefined,
  });
  nodes.push(node);
  return node;
}

/** Claims until it wins: the server notices a moment later that a former session is gone. */
async function epochOf(node: Coordinator): Promise<number> {
  let epoch = 0;
  await until('the epoch', async () => {
    const answer = await node.claim('failover');
    if (answer.outcome === 'won') epoch = answer.epoch;
    return epoch > 0;
  });
  return epoch;
}

async function stored(deviceId: string): Promise<number[]> {
  const sql = 'SELECT seq FROM readings WHERE device_id = $1 ORDER BY seq';
  return (await pool.query<{ seq: number }>(sql, [deviceId])).map(({ seq }) => seq);
}

const seqs = Array.from({ length: 10 }, (_, seq) => seq);
const allStored = (deviceId: string) =>
  until('all readings to be stored', async () => (await stored(deviceId)).length === seqs.length);

describe('the records of batches', () => {
  it('do-not-grow-for-ever: the coordinator removes old ones while it drains, and keeps what proves I2', async () => {
    await publishReadings(gateway.address, 'long-ago', seqs);
    const epoch = await epochOf(coordinator(1, { pruneIntervalMs: 20 }));
    await allStored('long-ago');
    await pool.query("UPDATE drain_batches SET committed_at = committed_at - interval '61 minutes'");
    const ends = await pool.query('SELECT min(id) AS first, max(id) AS last FROM drain_batches');
    await until('the removal', async () => {
      const [row] = await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM drain_batches');
      return row?.n === 2;
    });
    assert.deepEqual(
      await pool.query('SELECT min(id) AS first, max(id) AS last FROM drain_batches WHERE epoch = $1', [
        epoch,
      ]),
      ends,
    );
  });
});

describe('an orderly release', () => {
  it('hand-over-in-the-middle-of-a-batch: it is committed and acknowledged first, and the successor is sent nothing twice', async () => {
    const deviceId = 'handed-over';
    await publishReadings(gateway.address, deviceId, seqs);
    const released = Promise.withResolvers<void>();
    let batches = 0;
    let epoch = 0;
    const old: Coordinator = coordinator(1, {
      crash: (point) => {
        // The batch is committed, and its acknowledgement has not left: the worst moment to be told to go.
        if (point !== 'analytics.after-commit' || ++batches !== 2) return;
        old.release(epoch).then(released.resolve, released.reject);
      },
    });
    epoch = await epochOf(old);
    await released.promise;
    const before = await stored(deviceId);
    assert.ok(
      before.length >= 2 && before.length < seqs.length,
      `${before.length} stored before the release`,
    );
    const [held] = await pool.query<{ released: boolean }>('SELECT released FROM coordinator');
    assert.equal(held?.released, true, 'the lease was not given back');
    await epochOf(coordinator(2));
    await allStored(deviceId);
    assert.equal(redelivered, 0);
  });

  it('release-without-the-gateway: the lease is given back at once, and a connection that comes late is let go', async () => {
    const deviceId = 'no-gateway';
    const [connecting, connected] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const old = coordinator(1, {
      beforeSource: async () => {
        connecting.resolve();
        await connected.promise;
      },
    });
    const epoch = await epochOf(old);
    await connecting.promise;
    let released = false;
    const release = old.release(epoch).then(() => (released = true));
    await until('the release', () => released);
    await release;
    assert.deepEqual(await pool.query('SELECT released FROM coordinator'), [{ released: true }]);
    connected.resolve();
    await publishReadings(gateway.address, deviceId, seqs);
    await epochOf(coordinator(2));
    await allStored(deviceId);
  });

  it('release-without-postgresql: a coordinator that is cut from it steps down at once, however long its batch hangs', async () => {
    const deviceId = 'cut-off';
    let answers = true;
    const applying = Promise.withResolvers<void>();
    const old = coordinator(1, {
      sqlAnswers: () => answers,
      crash: (point) => {
        if (point === 'analytics.during-apply') applying.resolve();
      },
    });
    const epoch = await epochOf(old);
    const locker = await openSession({ ...session, url: database.url });
    await locker.query('BEGIN');
    await locker.query('SELECT FROM coordinator FOR UPDATE');
    await publishReadings(gateway.address, deviceId, seqs);
    await applying.promise;
    answers = false;
    let released = false;
    const release = old.release(epoch).then(() => (released = true));
    await until('the release', () => released);
    await release;
    locker.close();
    // Its statement may still have come through: then the successor is sent those messages again, and knows them.
    await epochOf(coordinator(2));
    await allStored(deviceId);
  });
});
