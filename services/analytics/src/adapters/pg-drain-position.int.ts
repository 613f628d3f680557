import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, StaleEpochError, type SqlPool } from '@thermomesh/sql';
import type { DrainStore } from '../core/ports.ts';
import { openDrainStore } from './pg-drain-store.ts';

const log = '00112233-4455-6677-8899-aabbccddeeff';
const gap = { log, fromLogId: 11, toLogId: 30, messages: 17 };
let database: TestDatabase;
let pool: SqlPool;
let store: DrainStore;
let epoch: number;

before(async () => {
  database = await testDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  store = await openDrainStore({
    url: database.url,
    applicationName: 'test-drain',
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 10_000,
    lockTimeoutMs: 2_000,
    idleInTransactionTimeoutMs: 500,
  });
});
after(async () => {
  store.close();
  await pool.close();
  await database.drop();
});
beforeEach(async () => {
  await pool.query('TRUNCATE drain_logs, drain_gaps');
  await pool.query(
    `INSERT INTO drain_logs (log, high_water_mark, stored, duplicate, rejected) VALUES ($1, 10, 5, 3, 1)`,
    [log],
  );
  const answer = await store.takeOver(1, 60_000);
  assert.ok(answer.won);
  epoch = answer.epoch;
});

/** The position in the database whose identity is stored. */
async function position() {
  const { database: id, ...rest } = await store.position(log);
  const [row] = await pool.query<{ id: string }>('SELECT database::text AS id FROM database_identity');
  assert.equal(id, row?.id);
  return rest;
}

describe('where the drain stands', () => {
  it('an accepted gap moves the mark once and counts its messages apart', async () => {
    assert.deepEqual(await position(), { highWaterMark: 10, counted: 9 });
    await store.acceptGap(epoch, 1, gap);
    await store.acceptGap(epoch, 1, gap);
    assert.deepEqual(await position(), { highWaterMark: 30, counted: 26 });
    const rows = await pool.query('SELECT from_log_id, to_log_id, messages, epoch, node FROM drain_gaps');
    assert.deepEqual(rows, [{ from_log_id: 11, to_log_id: 30, messages: 17, epoch, node: 1 }]);
  });

  it('a gap elsewhere than at the mark is not accepted', async () => {
    for (const other of [
      { ...gap, fromLogId: 12 },
      { ...gap, fromLogId: 5 },
      { ...gap, toLogId: 10 },
    ])
      await assert.rejects(store.acceptGap(epoch, 1, other), { code: 'drain.no_such_gap' });
    assert.deepEqual(await position(), { highWaterMark: 10, counted: 9 });
  });

  it('a database that does not know the log stands before its first message', async () => {
    await pool.query('TRUNCATE drain_logs');
    assert.deepEqual(await position(), { highWaterMark: 0, counted: 0 });
    await store.acceptGap(epoch, 1, { ...gap, fromLogId: 1 });
    assert.deepEqual(await position(), { highWaterMark: 30, counted: 17 });
  });

  it('a deposed coordinator accepts nothing', async () => {
    await assert.rejects(store.acceptGap(epoch - 1, 1, gap), StaleEpochError);
    assert.deepEqual(await position(), { highWaterMark: 10, counted: 9 });
  });

  it('a take-over of a restored database grants an epoch above all that are known', async () => {
    const above = await store.takeOver(1, 60_000, epoch + 41);
    assert.deepEqual(above, { won: true, epoch: epoch + 42, holder: 1 });
    const next = await store.takeOver(1, 60_000, epoch);
    assert.deepEqual(next, { won: true, epoch: epoch + 43, holder: 1 });
  });
});
