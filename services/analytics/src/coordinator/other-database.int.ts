import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plausibleTimes, type BrokerDocument } from '@thermomesh/contracts';
import { createLog, createMetrics, deriveToken, subjects } from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import { openDrainSource } from '../adapters/mqtt-drain-source.ts';
import { openDrainStore } from '../adapters/pg-drain-store.ts';
import { createDrainMetrics } from '../metrics.ts';
import { publishReadings, secret, startGateway, type Gateway } from '../testing.ts';
import { createCoordinator, type Coordinator } from './coordinator.ts';

/** No lease or lock expires in these tests. */
const endlessMs = 3_600_000;

/** A database with the schema, and its identity. */
interface Place {
  database: TestDatabase;
  pool: SqlPool;
  id: string;
}
let gateway: Gateway;
let own: Place;
let other: Place;
let nodeId = 0;

before(async () => {
  // The gateway keeps nothing, so that whatever another database has is missing here.
  const places = Promise.all([openPlace(), openPlace()]);
  gateway = await startGateway({ DRAINED_KEPT_BYTES_MAX: '0' });
  [own, other] = await places;
});
after(async () => {
  await Promise.all([own, other].map(async ({ pool, database }) => pool.close().then(() => database.drop())));
  await gateway.remove();
});

async function openPlace(): Promise<Place> {
  const database = await testDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  const pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  const [row] = await pool.query<{ id: string }>('SELECT database::text AS id FROM database_identity');
  return { database, pool, id: row!.id };
}

/** Runs a coordinator on that database while `work` runs. */
async function coordinating(
  { database }: Place,
  adoptDatabase: string | undefined,
  work: (node: Coordinator) => Promise<void>,
): Promise<void> {
  const id = (nodeId += 1);
  const node = createCoordinator({
    nodeId: id,
    crash: () => undefined,
    sqlAnswers: () => true,
    log: createLog(`test-${id}`, 'silent'),
    metrics: createDrainMetrics(createMetrics()),
    leaseMs: endlessMs,
    leaseRenewMs: endlessMs,
    retention: { keptHours: 1, rowsMax: 100, intervalMs: endlessMs },
    retry: { minMs: 10, maxMs: 100 },
    gapPolicy: 'stop',
    adoptDatabase,
    limits: () => ({ rowsMax: 100, bytesMax: 1024 * 1024, lingerMs: 0 }),
    openStore: () =>
      openDrainStore({
        applicationName: 'test-drain',
        connectTimeoutMs: 5_000,
        statementTimeoutMs: endlessMs,
        lockTimeoutMs: endlessMs,
        idleInTransactionTimeoutMs: endlessMs,
        url: database.url,
      }),
    openSource: (epoch) =>
      openDrainSource({
        address: gateway.address,
        nodeId: id,
        secret,
        // The gateway knows epochs of both databases.
        epoch: epoch + 100 * id,
        timeoutMs: 5_000,
        keepaliveSeconds: 60,
        queueBytesMax: 1024 * 1024,
        times: plausibleTimes,
        onInvalid: (error) => assert.fail(error as Error),
      }),
    announce: async () => undefined,
    currentHolder: async () => null,
  });
  try {
    // The server notices the end of a former session with a delay.
    await until('the epoch', async () => (await node.claim('failover')).outcome === 'won');
    await work(node);
  } finally {
    node.close();
  }
}

async function publish(deviceId: string, count: number): Promise<void> {
  await publishReadings(gateway.address, deviceId, [...Array(count).keys()]);
}

async function storedIn({ pool }: Place): Promise<Record<string, number>> {
  const sql = 'SELECT device_id AS device, count(*)::int AS rows FROM readings GROUP BY 1 ORDER BY 1';
  const found = await pool.query<{ device: string; rows: number }>(sql);
  return Object.fromEntries(found.map(({ device, rows }) => [device, rows]));
}

/** I6 against that database: what it lacks is in the other one. */
async function untilBalanced({ pool }: Place, lacks: number): Promise<void> {
  const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
  await until('balanced accounts', async () => {
    const { counters } = (await (
      await fetch(`${gateway.url}/v1/broker`, { headers })
    ).json()) as BrokerDocument;
    const [row] = await pool.query<{ counted: number; elsewhere: number }>(
      `SELECT (SELECT coalesce(sum(stored + duplicate + rejected), 0)::int FROM drain_logs) AS counted,
              (SELECT coalesce(sum(messages), 0)::int FROM drain_gaps WHERE kept_in IS NOT NULL) AS elsewhere`,
    );
    const { counted, elsewhere } = row!;
    return counters.buffered === 0 && elsewhere === lacks && counters.accepted === counted + elsewhere;
  });
}

it('row 1: a log is drained into another database only if that is adopted', async () => {
  await publish('early', 5);
  await coordinating(own, undefined, async () => untilBalanced(own, 0));
  await publish('refused', 3);
  for (const adopted of [undefined, own.id])
    await coordinating(other, adopted, async (node) => {
      await until('the refusal', () => node.drainView()?.state === 'other_database');
      const log = node.drainView()!.otherDatabase!.log;
      assert.deepEqual(node.drainView()!.otherDatabase, { log, database: other.id, former: own.id });
      assert.deepEqual(await storedIn(other), {});
    });
  await coordinating(other, other.id, async () => untilBalanced(other, 5));
  assert.deepEqual(await storedIn(other), { refused: 3 });
  // The gateway remembers it: now the former database is the one that needs permission.
  await publish('adopted', 4);
  await coordinating(other, undefined, async () => untilBalanced(other, 5));
  await coordinating(own, undefined, async (node) =>
    until('the refusal', () => node.drainView()?.state === 'other_database'),
  );
});

it('row 1: going back to the former database leaves the accounts in balance', async () => {
  await publish('back', 2);
  await coordinating(own, own.id, async () => untilBalanced(own, 7));
  assert.deepEqual(await storedIn(own), { back: 2, early: 5 });
  await publish('again', 1);
  await coordinating(other, other.id, async () => untilBalanced(other, 7));
  assert.deepEqual(await storedIn(other), { adopted: 4, again: 1, refused: 3 });
});
