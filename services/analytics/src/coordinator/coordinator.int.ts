import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLog, createMetrics, deriveToken, subjects, type CrashHook } from '@thermomesh/runtime';
import type { Election } from '@thermomesh/election';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, openSession, type SqlPool } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import { plausibleTimes, type BrokerDocument } from '@thermomesh/contracts';
import { openDrainSource } from '../adapters/mqtt-drain-source.ts';
import { openDrainStore } from '../adapters/pg-drain-store.ts';
import { createDataUpkeep } from '../adapters/pg-data-upkeep.ts';
import { plausibleRoom } from '../core/plausibility.ts';
import { createCoordinator, type Coordinator } from './coordinator.ts';
import { replayMessage } from './replay.ts';
import { createDrainMetrics } from '../metrics.ts';
import { publishReadings, secret, startGateway, type Gateway } from '../testing.ts';

/** No lease or lock expires in these tests. */
const endlessMs = 3_600_000;
const session = {
  applicationName: 'test-drain',
  connectTimeoutMs: 5_000,
  statementTimeoutMs: endlessMs,
  lockTimeoutMs: endlessMs,
  idleInTransactionTimeoutMs: endlessMs,
};
let database: TestDatabase;
let pool: SqlPool;
let gateway: Gateway;
let nodes: Coordinator[] = [];

before(async () => {
  [database, gateway] = await Promise.all([testDatabase(), startGateway()]);
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});
after(async () => {
  await pool.close();
  await Promise.all([database.drop(), gateway.remove()]);
});
/**
 * Messages that a node received although they were committed. A batch of such messages alone leaves
 * no record in the database.
 */
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
  leaseRenewMs?: number;
  gapPolicy?: 'stop' | 'accept';
  /** Default: the gateway that all tests share. */
  at?: Gateway;
  /** Awaited before the real source is opened. */
  beforeSource?: () => Promise<void>;
}

/** Creates a node's coordinator as the service composes it, with batches of two rows. */
function coordinator(nodeId: number, hooks: Hooks = {}): Coordinator {
  const { crash = () => undefined, sqlAnswers = () => true, pruneIntervalMs = endlessMs } = hooks;
  const node = createCoordinator({
    nodeId,
    crash,
    sqlAnswers,
    log: createLog(`test-${nodeId}`, 'silent'),
    metrics: {
      ...createDrainMetrics(createMetrics()),
      batchCommitted: (applied) => void (redelivered += applied.redelivered),
    },
    leaseMs: endlessMs,
    leaseRenewMs: hooks.leaseRenewMs ?? endlessMs,
    retention: { keptHours: 1, rowsMax: 100, intervalMs: pruneIntervalMs },
    retry: { minMs: 10, maxMs: 100 },
    gapPolicy: hooks.gapPolicy ?? 'stop',
    limits: () => ({ rowsMax: 2, bytesMax: 1024 * 1024, lingerMs: 0 }),
    openStore: () => openDrainStore({ ...session, url: database.url }),
    openSource: async (epoch) => {
      await hooks.beforeSource?.();
      return openDrainSource({
        address: (hooks.at ?? gateway).address,
        nodeId,
        secret,
        epoch,
        timeoutMs: 5_000,
        keepaliveSeconds: 60,
        queueBytesMax: 1024 * 1024,
        times: plausibleTimes,
        onInvalid: (error) => assert.fail(error as Error),
      });
    },
    announce: async () => undefined,
    currentHolder: async () => null,
  });
  nodes.push(node);
  return node;
}

/** Claims until it wins, because the server notices the end of a former session with a delay. */
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
  it('old batch records are removed while a node drains, the proof of I2 stays', async () => {
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

describe('a graceful release', () => {
  it('a release during a batch commits and acknowledges it before the successor', async () => {
    const deviceId = 'handed-over';
    await publishReadings(gateway.address, deviceId, seqs);
    const released = Promise.withResolvers<void>();
    let batches = 0;
    let epoch = 0;
    const old: Coordinator = coordinator(1, {
      crash: (point) => {
        // The batch is committed and its acknowledgement has not left: the worst moment for a
        // release.
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
    assert.equal(held?.released, true, 'the lease was not released');
    await epochOf(coordinator(2));
    await allStored(deviceId);
    assert.equal(redelivered, 0);
  });

  it('a release without the gateway is immediate, a late connection is closed', async () => {
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

  it('a coordinator without PostgreSQL steps down at once though its batch hangs', async () => {
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
    // The statement may have been committed nevertheless. Then the successor receives those
    // messages again and recognises them.
    await epochOf(coordinator(2));
    await allStored(deviceId);
  });
});

/** The tables of analytics, in an order in which they can be filled. */
const tables = ['readings', 'rejected_readings', 'devices', 'drain_logs', 'drain_batches', 'drain_gaps'];

/** Keeps a copy of every row. */
async function backUp(): Promise<void> {
  await pool.query('DROP SCHEMA IF EXISTS backup CASCADE');
  await pool.query('CREATE SCHEMA backup');
  for (const table of [...tables, 'coordinator'])
    await pool.query(`CREATE TABLE backup.${table} AS TABLE ${table}`);
}

/** Puts the database back to the copy, in one transaction that also ends the drain's sessions. */
async function restore(): Promise<void> {
  const restoring = await openSession({ ...session, applicationName: 'restore', url: database.url });
  await restoring.query('BEGIN');
  await restoring.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-drain'",
  );
  await restoring.query(`TRUNCATE ${[...tables, 'coordinator'].join()}`);
  for (const table of [...tables, 'coordinator'])
    await restoring.query(`INSERT INTO ${table} OVERRIDING SYSTEM VALUE SELECT * FROM backup.${table}`);
  await restoring.query('COMMIT');
  restoring.close();
}

async function brokerOf({ url }: Gateway): Promise<BrokerDocument> {
  const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
  return (await (await fetch(`${url}/v1/broker`, { headers })).json()) as BrokerDocument;
}

/** I6 of one gateway; `lost` are the messages of accepted gaps. */
async function accountsOf(at: Gateway) {
  const { log, counters } = await brokerOf(at);
  const [row] = await pool.query<{ known: number; lost: number }>(
    `SELECT (SELECT coalesce(sum(stored + duplicate + rejected), 0)::int FROM drain_logs WHERE log = $1) AS known,
            (SELECT coalesce(sum(messages), 0)::int FROM drain_gaps WHERE log = $1) AS lost`,
    [log],
  );
  return { accepted: counters.accepted, buffered: counters.buffered, ...row! };
}

async function assertBalanced(at: Gateway, lost: number): Promise<void> {
  await until('an empty buffer', async () => (await accountsOf(at)).buffered === 0);
  const accounts = await accountsOf(at);
  assert.deepEqual([accounts.lost, accounts.known + accounts.lost], [lost, accounts.accepted]);
}

describe('a rejected message that is tried once more', () => {
  it('is stored by the coordinator beside its drain, and by no other node', async () => {
    const at = gateway;
    await publishReadings(at.address, 'again', seqs.slice(0, 3));
    const node = coordinator(1);
    await epochOf(node);
    await until('the readings', async () => (await stored('again')).length === 3);
    const [row] = await pool.query<{ id: number }>(
      `INSERT INTO rejected_readings (log, log_id, device_id, received_at, reason, detail, raw, epoch)
       SELECT log, -1, 'again', now(), 'bad_measured_at', 'x', $1, 1 FROM drain_logs LIMIT 1 RETURNING id`,
      [Buffer.from('{"deviceId":"again","seq":7,"measuredAt":1700000000000,"celsius":20}')],
    );
    const rules = { times: plausibleTimes, plausible: plausibleRoom };
    const message = await createDataUpkeep(pool).rejectedMessage(row!.id);
    await assert.rejects(replayMessage(message!, rules, coordinator(2)), { code: 'drain.not_coordinator' });
    const outcomes = [];
    for (const _ of [1, 2]) outcomes.push((await replayMessage(message!, rules, node)).outcome);
    assert.deepEqual(outcomes, ['stored', 'gone']);
    assert.deepEqual(await stored('again'), [0, 1, 2, 7]);
    const conflicting = { ...message!, raw: Buffer.from(message!.raw.toString().replace('20}', '21}')) };
    await pool.query(
      `INSERT INTO rejected_readings (log, log_id, device_id, received_at, reason, detail, raw, epoch)
       SELECT log, -2, 'again', now(), 'bad_seq', 'x', $1, 1 FROM drain_logs LIMIT 1`,
      [conflicting.raw],
    );
    const [other] = await pool.query<{ id: number }>('SELECT max(id) AS id FROM rejected_readings');
    const refused = await replayMessage({ ...conflicting, id: other!.id }, rules, node);
    assert.deepEqual([refused.outcome, refused.reason], ['rejected', 'seq_conflict']);
    // The drain goes on after the refused statement.
    await publishReadings(at.address, 'again', [8]);
    await until('the drain', async () => (await stored('again')).length === 5);
  });
});

describe('a restored database', () => {
  let own: Gateway | undefined;
  afterEach(async () => {
    await own?.remove();
    own = undefined;
  });

  it('a database that is behind gets what the gateway keeps, without new traffic', async () => {
    own = await startGateway();
    await publishReadings(own.address, 'early', seqs);
    await epochOf(coordinator(1, { at: own, leaseRenewMs: 50 }));
    await allStored('early');
    await backUp();
    await publishReadings(own.address, 'late', seqs);
    await allStored('late');
    await assertBalanced(own, 0);
    await restore();
    await allStored('late');
    assert.deepEqual(await stored('early'), seqs);
    await assertBalanced(own, 0);
  });

  it('a gap stops the drain until it is accepted, everything later waits', async () => {
    own = await startGateway({ DRAINED_KEPT_BYTES_MAX: '0' });
    const { log } = await brokerOf(own);
    await publishReadings(own.address, 'kept', seqs);
    const node = coordinator(1, { at: own, leaseRenewMs: 50 });
    await epochOf(node);
    await allStored('kept');
    await backUp();
    await publishReadings(own.address, 'lost', seqs.slice(0, 7));
    await until('the readings', async () => (await stored('lost')).length === 7);
    await restore();
    await until('the gap', () => node.drainView()?.state === 'gap');
    const gap = node.drainView()!.gap!;
    assert.deepEqual([gap.log, gap.messages], [log, 7]);
    const [mark] = await pool.query<{ at: number }>(
      'SELECT high_water_mark AS at FROM drain_logs WHERE log = $1',
      [log],
    );
    assert.equal(gap.fromLogId, mark!.at + 1);
    await publishReadings(own.address, 'waiting', seqs);
    assert.deepEqual([(await accountsOf(own)).buffered, await stored('waiting')], [seqs.length, []]);
    assert.equal(node.drainView()?.state, 'gap');
    await assert.rejects(node.acceptGap({ ...gap, toLogId: gap.toLogId + 1 }), { code: 'drain.no_such_gap' });

    assert.deepEqual(await node.acceptGap(gap), gap);
    await allStored('waiting');
    assert.deepEqual(await stored('lost'), []);
    await assertBalanced(own, 7);
    await assert.rejects(node.acceptGap(gap), { code: 'drain.no_such_gap' });
    // The acceptance is in the database: the next coordinator knows it.
    node.close();
    const next = coordinator(2, { at: own });
    await epochOf(next);
    await until('the drain', () => next.drainView()?.state === 'draining');
    await assertBalanced(own, 7);
  });

  it('of a lag beyond what is kept, the kept messages survive the accepted gap', async () => {
    own = await startGateway({ DRAINED_KEPT_BYTES_MAX: '4000' });
    const node = coordinator(1, { at: own, leaseRenewMs: 50 });
    await epochOf(node);
    await backUp();
    await publishReadings(own.address, 'many', [...Array(40).keys()]);
    await until('the readings', async () => (await stored('many')).length === 40);
    await restore();
    await until('the gap', () => node.drainView()?.state === 'gap');
    const { messages } = node.drainView()!.gap!;
    const { buffered } = await accountsOf(own);
    assert.ok(buffered > 0 && messages > 0, `${buffered} kept, ${messages} missing`);
    assert.equal(buffered + messages, 40);
    await node.acceptGap(node.drainView()!.gap!);
    await assertBalanced(own, messages);
    assert.deepEqual(await stored('many'), [...Array(40).keys()].slice(messages));
  });

  it('a wiped database is a gap too, and DRAIN_GAP=accept records it and goes on', async () => {
    own = await startGateway({ DRAINED_KEPT_BYTES_MAX: '0' });
    const node = coordinator(1, { at: own, leaseRenewMs: 50, gapPolicy: 'accept' });
    await epochOf(node);
    await pool.query('TRUNCATE drain_logs, drain_gaps');
    await backUp();
    await publishReadings(own.address, 'wiped', seqs);
    await allStored('wiped');
    await restore();
    await publishReadings(own.address, 'after', seqs);
    await allStored('after');
    await assertBalanced(own, seqs.length);
  });

  it('a database from before the last take-over never grants an epoch twice', async () => {
    own = await startGateway();
    const first = coordinator(1, { at: own });
    const old = await epochOf(first);
    await backUp();
    first.close();
    const second = coordinator(2, { at: own, leaseRenewMs: 50 });
    const epoch = await epochOf(second);
    assert.equal(epoch, old + 1);
    const deposed = Promise.withResolvers<{ holder: number | null; epoch: number }>();
    const snapshot = { epoch } as ReturnType<Election['snapshot']>;
    second.setElection({ deposed: (by) => deposed.resolve(by), snapshot: () => snapshot });
    await restore();
    assert.deepEqual(await deposed.promise, { holder: null, epoch: epoch + 1 });
    assert.equal(await epochOf(second), epoch + 1);
  });
});
