/**
 * A migrated database and a coordinator's session on it, for the integration tests of the drain's
 * statement. Importing this file registers the hooks that make and clear the database.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { uuidText, timesOfYears } from '@thermomesh/contracts';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { applyEntries } from '../core/apply.ts';
import { toEntry, type Entry } from '../core/batch.ts';
import type { DrainStore } from '../core/ports.ts';
import { openDrainStore, type DrainStoreOptions } from './pg-drain-store.ts';

export const log = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
export const leaseMs = 60_000;
export let database: TestDatabase;
export let pool: SqlPool;
let stores: DrainStore[] = [];

export const folder = fileURLToPath(new URL('../../migrations', import.meta.url));

before(async () => {
  database = await testDatabase();
  await migrate({ url: database.url, folder, table: 'analytics_schema' });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});

after(async () => {
  await pool.close();
  await database.drop();
});

beforeEach(async () => {
  for (const store of stores) store.close();
  stores = [];
  await pool.query(
    'TRUNCATE readings, rejected_readings, rejection_counts, devices, device_incarnations, drain_logs, drain_batches, device_notices, erased_rows RESTART IDENTITY',
  );
  await pool.query(
    'UPDATE qos0_accounts SET relayed = 0, stored = 0, duplicate = 0, rejected = 0, dropped = 0',
  );
  await pool.query(
    'UPDATE coordinator SET epoch = 0, node_id = 0, released = true, backend_pid = NULL, backend_start = NULL',
  );
});

export async function open(more: Partial<DrainStoreOptions> = {}): Promise<DrainStore> {
  const store = await openDrainStore({
    url: database.url,
    applicationName: 'test-drain',
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 10_000,
    lockTimeoutMs: 2_000,
    idleInTransactionTimeoutMs: 500,
    ...more,
  });
  stores.push(store);
  return store;
}

export async function coordinator(
  nodeId = 1,
  more: Partial<DrainStoreOptions> = {},
): Promise<{ store: DrainStore; epoch: number }> {
  const store = await open(more);
  const answer = await store.takeOver(nodeId, leaseMs);
  assert.ok(answer.won);
  return { store, epoch: answer.epoch };
}

export function entry(logId: number, body: Record<string, unknown> | string): Entry {
  const reading = { deviceId: 'd1', measuredAt: 1_700_000_000_123, celsius: 21.5 };
  const payload = Buffer.from(typeof body === 'string' ? body : JSON.stringify({ ...reading, ...body }));
  const deviceId = typeof body === 'object' && typeof body['deviceId'] === 'string' ? body['deviceId'] : 'd1';
  const header = { log, logId, previousLogId: logId - 1, receivedAtMs: 1_700_000_001_000 };
  return toEntry(`thermostat/data/${deviceId}`, { ...header, payload }, timesOfYears(1970, 9999));
}

/** Applies entries as the drain does: conflicts and refused rows become rejections. */
export async function drain(store: DrainStore, epoch: number, entries: Entry[]) {
  return applyEntries(entries, (some) => store.apply(epoch, 1, { log, entries: [...some] }));
}

export async function accounts() {
  const [row] = await pool.query(
    'SELECT high_water_mark, stored, duplicate, rejected FROM drain_logs WHERE log = $1',
    [uuidText(log)],
  );
  return row;
}
