import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { uuidText } from '@thermomesh/contracts';
import { sqlPatience, testDatabase } from '@thermomesh/servers';
import { createPool, migrate } from '@thermomesh/sql';
import { SeqConflictError } from '../core/apply.ts';
import type { Entry } from '../core/batch.ts';
import { accounts, coordinator, drain, entry, folder, log, pool } from './testing.ts';

describe('the evidence of rejections', () => {
  const at = (logId: number, text: string, receivedAtMs: number): Entry => ({
    ...entry(logId, text),
    receivedAtMs,
  });
  const counts = () =>
    pool.query(
      `SELECT device_id, reason, rejected, (extract(epoch FROM first_received_at) * 1000)::bigint AS first,
              (extract(epoch FROM last_received_at) * 1000)::bigint AS last
       FROM rejection_counts ORDER BY device_id, reason`,
    );

  it('the text `unavailable` twenty times in an hour is counted twenty times', async () => {
    const { store, epoch } = await coordinator();
    const startMs = 1_700_000_000_000;
    const everyThreeMinutes = Array.from({ length: 20 }, (_, n) =>
      at(n + 1, 'unavailable', startMs + n * 180_000),
    );
    const applied = await drain(store, epoch, everyThreeMinutes.slice(0, 7));
    assert.deepEqual(applied, { stored: 0, duplicate: 0, rejected: 7, redelivered: 0 });
    for (const one of everyThreeMinutes.slice(7)) await drain(store, epoch, [one]);
    assert.deepEqual(await accounts(), { high_water_mark: 20, stored: 0, duplicate: 0, rejected: 20 });
    const lastMs = startMs + 19 * 180_000;
    assert.deepEqual(await counts(), [
      { device_id: 'd1', reason: 'not_json', rejected: 20, first: startMs, last: lastMs },
    ]);
    const times = await pool.query<{ ms: number }>(
      'SELECT (extract(epoch FROM received_at) * 1000)::bigint AS ms FROM rejected_readings ORDER BY id',
    );
    assert.deepEqual(
      times.map(({ ms }) => ms),
      everyThreeMinutes.map(({ receivedAtMs }) => receivedAtMs),
    );
  });

  it('a redelivered rejection is counted once, and each reason by itself', async () => {
    const { store, epoch } = await coordinator();
    const entries = [at(1, 'unavailable', 1000), at(2, '[1]', 3000), at(3, 'unavailable', 2000)];
    await drain(store, epoch, entries);
    const again = await drain(store, epoch, [...entries, at(4, 'unavailable', 500)]);
    assert.deepEqual(again, { stored: 0, duplicate: 0, rejected: 1, redelivered: 3 });
    assert.deepEqual(await counts(), [
      { device_id: 'd1', reason: 'not_an_object', rejected: 1, first: 3000, last: 3000 },
      { device_id: 'd1', reason: 'not_json', rejected: 3, first: 500, last: 2000 },
    ]);
    assert.deepEqual(await accounts(), { high_water_mark: 4, stored: 0, duplicate: 0, rejected: 4 });
  });

  it('a batch that fails counts no rejection', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 })]);
    const batch = { log, entries: [entry(2, 'unavailable'), entry(3, { seq: 1, celsius: 2 })] };
    await assert.rejects(store.apply(epoch, 1, batch), SeqConflictError);
    assert.deepEqual(await counts(), []);
  });

  it('long messages are cut, and their size and hash are those of the whole', async () => {
    const limits = { rawBytesMax: 10, rowsPerKindMax: 100, bytesPerKindMax: 1000 };
    const { store, epoch } = await coordinator(1, { rejections: limits });
    const whole = `unavailable ${'x'.repeat(50_000)}`;
    await drain(store, epoch, [entry(1, whole), entry(2, 'short')]);
    const rows = await pool.query<{ raw: Buffer; raw_bytes: number; same: boolean }>(
      'SELECT raw, raw_bytes, raw_sha256 = sha256($1) AS same FROM rejected_readings ORDER BY id',
      [Buffer.from(whole)],
    );
    assert.deepEqual(
      rows.map(({ raw, ...rest }) => ({ raw: raw.toString(), ...rest })),
      [
        { raw: 'unavailabl', raw_bytes: whole.length, same: true },
        { raw: 'short', raw_bytes: 5, same: false },
      ],
    );
  });

  it('the rows of a kind are bounded, the newest stay, and the count stays exact', async () => {
    const limits = { rawBytesMax: 100, rowsPerKindMax: 3, bytesPerKindMax: 20 };
    const { store, epoch } = await coordinator(1, { rejections: limits });
    await drain(store, epoch, [entry(1, '[]'), entry(2, '[1]')]);
    await drain(
      store,
      epoch,
      Array.from({ length: 7 }, (_, n) => entry(n + 3, `no ${n}`)),
    );
    const kept = async () =>
      (await pool.query<{ log_id: number }>('SELECT log_id FROM rejected_readings ORDER BY id')).map(
        ({ log_id: logId }) => logId,
      );
    assert.deepEqual(await kept(), [1, 2, 7, 8, 9]);
    // Two of the older rows fit no more beside these 13 bytes; a message above the limit stays
    // alone.
    await drain(store, epoch, [entry(10, 'no'.padEnd(13, '!'))]);
    assert.deepEqual(await kept(), [1, 2, 9, 10]);
    await drain(store, epoch, [entry(11, 'no'.padEnd(40, '!'))]);
    assert.deepEqual(await kept(), [1, 2, 11]);
    const rejected = await pool.query('SELECT reason, rejected FROM rejection_counts ORDER BY reason');
    assert.deepEqual(rejected, [
      { reason: 'not_an_object', rejected: 2 },
      { reason: 'not_json', rejected: 9 },
    ]);
    assert.deepEqual(await accounts(), { high_water_mark: 11, stored: 0, duplicate: 0, rejected: 11 });
  });

  it('an upgrade takes over the counts of the rows that are there', async () => {
    const old = await testDatabase();
    const url = old.url;
    try {
      await migrate({ url, folder, table: 'analytics_schema', to: '2' });
      const own = createPool({ ...sqlPatience, url, applicationName: 'test' });
      await own.query(
        `INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
         SELECT $1, n, nullif('d' || n % 2, 'd0'), NULL, to_timestamp(n), 'not_json', 'x', convert_to('text ' || n, 'UTF8'), 1
         FROM generate_series(1, 5) n`,
        [uuidText(log)],
      );
      await migrate({ url, folder, table: 'analytics_schema' });
      assert.deepEqual(
        await own.query('SELECT device_id, rejected, kept_rows FROM rejection_counts ORDER BY device_id'),
        [
          { device_id: '', rejected: 2, kept_rows: 2 },
          { device_id: 'd1', rejected: 3, kept_rows: 3 },
        ],
      );
      await migrate({ url, folder, table: 'analytics_schema', to: '2' });
      assert.deepEqual(await own.query('SELECT count(*) AS n FROM rejected_readings'), [{ n: 5 }]);
      await own.close();
    } finally {
      await old.drop();
    }
  });
});
