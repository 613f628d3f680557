import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { timesOfYears } from '@thermomesh/contracts';
import { StaleEpochError } from '@thermomesh/sql';
import { SeqConflictError } from '../core/apply.ts';
import type { DrainStore, RejectedFilter } from '../core/ports.ts';
import { plausibleRoom } from '../core/plausibility.ts';
import { readAgain } from '../core/replay.ts';
import { createDataUpkeep } from './pg-data-upkeep.ts';
import { createDeviceIncarnations } from './pg-device-incarnations.ts';
import { createTelemetryQueries } from './pg-telemetry-queries.ts';
import { accounts, coordinator, drain, entry, leaseMs, open, pool } from './testing.ts';

const upkeep = (rowsMax = 1_000) => createDataUpkeep(pool, { rowsMax, eraseMs: 60_000 });
const rules = { times: timesOfYears(1970, 2099), plausible: plausibleRoom };
const rejectedIds = async () =>
  (await pool.query<{ id: number }>('SELECT id FROM rejected_readings ORDER BY id')).map(({ id }) => id);

/** Replays a kept message as the node does. */
async function replay(store: DrainStore, epoch: number, id: number, using = rules): Promise<string> {
  const message = await upkeep().rejectedMessage(id);
  assert.ok(message?.isWhole);
  const again = readAgain(message, using);
  if ('rejection' in again) return again.rejection.reason;
  return store.replay(epoch, 1, id, again.entry);
}

describe('a rejected message that is replayed', () => {
  /** A device that was replaced and has counted from 1 again: its reading 1 conflicts. */
  async function conflicted() {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, { seq: 2 }), entry(3, { seq: 1, celsius: 9 })]);
    const [id] = await rejectedIds();
    assert.ok(id !== undefined);
    return { store, epoch, id };
  }

  it('is stored once after an incarnation was opened, and the accounts follow', async () => {
    const { store, epoch, id } = await conflicted();
    await assert.rejects(replay(store, epoch, id), SeqConflictError);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 2, duplicate: 0, rejected: 1 });
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    assert.equal(await replay(store, epoch, id), 'stored');
    assert.deepEqual(await pool.query('SELECT incarnation, seq, celsius FROM devices'), [
      { incarnation: 1, seq: 1, celsius: 9 },
    ]);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 3, duplicate: 0, rejected: 0 });
    assert.deepEqual(await rejectedIds(), []);
    const counts = 'SELECT rejected, replayed, deleted, kept_rows, kept_bytes FROM rejection_counts';
    assert.deepEqual(await pool.query(counts), [
      { rejected: 1, replayed: 1, deleted: 0, kept_rows: 0, kept_bytes: 0 },
    ]);
    assert.deepEqual(await pool.query('SELECT count(*) AS n FROM drain_logs'), [{ n: 1 }]);
  });

  it('two replays at once store it once', async () => {
    const { store, epoch, id } = await conflicted();
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    const message = await upkeep().rejectedMessage(id);
    const again = readAgain(message!, rules);
    assert.ok('entry' in again);
    const both = await Promise.all([
      store.replay(epoch, 1, id, again.entry),
      store.replay(epoch, 1, id, again.entry),
    ]);
    assert.deepEqual(both.sort(), ['gone', 'stored']);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 3, duplicate: 0, rejected: 0 });
  });

  it('by a deposed coordinator is refused and changes nothing', async () => {
    const { store, epoch, id } = await conflicted();
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    await store.release(epoch);
    const successor = await open();
    assert.ok((await successor.takeOver(2, leaseMs)).won);
    const late = await open();
    await assert.rejects(replay(late, epoch, id), StaleEpochError);
    assert.deepEqual(await rejectedIds(), [id]);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 2, duplicate: 0, rejected: 1 });
  });

  it('that came at QoS 0 moves in its own account', async () => {
    const { store, epoch, id } = await conflicted();
    const nil = '00000000-0000-0000-0000-000000000000';
    await pool.query('UPDATE rejected_readings SET log = $1', [nil]);
    await pool.query('UPDATE qos0_accounts SET rejected = 1');
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    assert.equal(await replay(store, epoch, id), 'stored');
    assert.deepEqual(await pool.query('SELECT stored, duplicate, rejected FROM qos0_accounts'), [
      { stored: 1, duplicate: 0, rejected: 0 },
    ]);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 2, duplicate: 0, rejected: 1 });
    const marked = 'SELECT incarnation, seq FROM readings WHERE best_effort';
    assert.deepEqual(await pool.query(marked), [{ incarnation: 1, seq: 1 }]);
  });

  it('after a limit was changed leaves the newer latest state, and is recorded', async () => {
    const { store, epoch } = await coordinator();
    const measuredAt = Date.UTC(2150, 0, 1);
    const message = JSON.stringify({ deviceId: 'd1', seq: 1, measuredAt, celsius: 20 });
    await drain(store, epoch, [entry(1, 'no reading')]);
    await drain(store, epoch, [entry(2, { seq: 5_000 })]);
    // What the drain rejected under the former limits.
    await pool.query('UPDATE rejected_readings SET raw = $1', [Buffer.from(message)]);
    await pool.query('UPDATE rejected_readings SET raw_bytes = length(raw)');
    const [id] = await rejectedIds();
    assert.equal(await replay(store, epoch, id!), 'bad_measured_at');
    const wider = { ...rules, times: timesOfYears(1970, 2200) };
    assert.equal(await replay(store, epoch, id!, wider), 'stored');
    assert.deepEqual(await pool.query('SELECT seq FROM devices'), [{ seq: 5_000 }]);
    assert.deepEqual(
      await pool.query('SELECT sum(rows)::bigint AS rows, max(epoch) AS epoch FROM drain_batches'),
      [{ rows: 2, epoch }],
    );
  });
});

describe('evidence that is deleted', () => {
  it('leaves the accounts and the counts, and says how much went', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, 'a'), entry(2, 'b'), entry(3, '[]'), entry(4, { seq: 1 })]);
    const deleteRejected = (filter: RejectedFilter) => upkeep().deleteRejected(filter);
    assert.deepEqual(await deleteRejected({ deviceId: 'd2' }), { deleted: 0, complete: true });
    assert.deepEqual(await deleteRejected({ reason: 'not_json' }), { deleted: 2, complete: true });
    assert.deepEqual(await upkeep(1).deleteRejected({ sinceMs: 0 }), { deleted: 1, complete: false });
    assert.deepEqual(await accounts(), { high_water_mark: 4, stored: 1, duplicate: 0, rejected: 3 });
    const counts = 'SELECT reason, rejected, deleted, kept_rows FROM rejection_counts ORDER BY reason';
    assert.deepEqual(await pool.query(counts), [
      { reason: 'not_an_object', rejected: 1, deleted: 1, kept_rows: 0 },
      { reason: 'not_json', rejected: 2, deleted: 2, kept_rows: 0 },
    ]);
  });
});

describe('a device that is erased', () => {
  it('leaves numbers, and the accounts balance before and after it publishes again', async () => {
    const { store, epoch } = await coordinator();
    const seqs = Array.from({ length: 25 }, (_, seq) => seq);
    const readings = seqs.map((seq) => entry(seq + 1, { seq }));
    await drain(store, epoch, [...readings, entry(26, 'no'), entry(27, { deviceId: 'd2', seq: 0 })]);
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    await drain(store, epoch, [entry(28, { seq: 3, celsius: 1 }), entry(29, 'no')]);
    await upkeep().deleteRejected({ id: (await rejectedIds())[0] });
    const before = await accounts();
    assert.deepEqual(await upkeep(10).eraseDevice('d1'), {
      deviceId: 'd1',
      readings: 26,
      rejections: 1,
      complete: true,
    });
    for (const table of [
      'readings',
      'devices',
      'device_incarnations',
      'rejected_readings',
      'rejection_counts',
    ])
      assert.deepEqual(
        await pool.query(`SELECT count(*) AS n FROM ${table} WHERE device_id = 'd1'`),
        [{ n: 0 }],
        table,
      );
    assert.deepEqual(await accounts(), before);
    const erased = (await upkeep().erasedOf('d1')).map(({ incarnation, reason, erased: n }) => [
      incarnation,
      reason,
      n,
    ]);
    assert.deepEqual(erased, [
      [0, null, 25],
      [1, null, 1],
      [null, 'not_json', 2],
    ]);
    // What it sends again is new, a redelivery of the gateway is not.
    await drain(store, epoch, [entry(28, { seq: 3, celsius: 1 })]);
    assert.deepEqual(await pool.query('SELECT device_id FROM devices'), [{ device_id: 'd2' }]);
    await drain(store, epoch, [entry(30, { seq: 3 })]);
    const [kept] = await pool.query<{ n: number }>('SELECT count(*) AS n FROM readings');
    const totals = await createTelemetryQueries(pool).accounts();
    assert.equal(totals.stored, (kept?.n ?? 0) + (totals.erased ?? 0));
  });

  it('while its readings are drained is erased without a deadlock', async () => {
    const { store, epoch } = await coordinator();
    const batches = Array.from({ length: 30 }, (_, n) => entry(n + 1, { seq: n % 10 }));
    await Promise.all([
      (async () => {
        for (const one of batches) await drain(store, epoch, [one]);
      })(),
      (async () => {
        for (let n = 0; n < 10; n += 1) await upkeep(3).eraseDevice('d1');
      })(),
    ]);
    await upkeep().eraseDevice('d1');
    const { stored, duplicate, erased = 0 } = await createTelemetryQueries(pool).accounts();
    assert.equal(stored + duplicate, batches.length);
    assert.equal(erased, stored);
  });
});
