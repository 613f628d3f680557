import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { uuidText } from '@thermomesh/contracts';
import { sqlPatience, testDatabase } from '@thermomesh/servers';
import { createPool, migrate, SqlStatementError } from '@thermomesh/sql';
import { latestStateOf } from '../core/latest-state.ts';
import { createDeviceIncarnations } from './pg-device-incarnations.ts';
import { accounts, coordinator, drain, entry, folder, log, pool } from './testing.ts';

describe('the lives of a device', () => {
  const lives = () => createDeviceIncarnations(pool);
  const state = async () => {
    const [row] = await pool.query('SELECT incarnation, seq, celsius FROM devices');
    return row;
  };

  it('each incarnation counts from 0, and conflicts stay within it', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 0, celsius: 1 }), entry(2, { seq: 1 })]);
    const applied = await drain(store, epoch, [
      entry(3, { seq: 0, celsius: 2, incarnation: 3 }),
      entry(4, { seq: 0, celsius: 2, incarnation: 3 }),
      entry(5, { seq: 0, celsius: 9, incarnation: 3 }),
      entry(6, { seq: 7 }),
    ]);
    assert.deepEqual(applied, { stored: 2, duplicate: 1, rejected: 1, redelivered: 0 });
    const stored = 'SELECT incarnation, seq, celsius FROM readings ORDER BY incarnation, seq';
    assert.deepEqual(await pool.query(stored), [
      { incarnation: 0, seq: 0, celsius: 1 },
      { incarnation: 0, seq: 1, celsius: 21.5 },
      { incarnation: 0, seq: 7, celsius: 21.5 },
      { incarnation: 3, seq: 0, celsius: 2 },
    ]);
    assert.deepEqual(await state(), { incarnation: 3, seq: 0, celsius: 2 });
  });

  it('an operator opens a life for a device that names none', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 0 }), entry(2, { seq: 500 })]);
    const opening = await lives().open('d1', undefined, 'key');
    assert.deepEqual([opening.outcome, opening.incarnation], ['opened', 1]);
    // A redelivery of what was drained before changes nothing.
    const redelivered = await drain(store, epoch, [entry(2, { seq: 500 })]);
    assert.deepEqual(redelivered, { stored: 0, duplicate: 0, rejected: 0, redelivered: 1 });
    await drain(store, epoch, [entry(3, { seq: 0, celsius: 3 }), entry(4, { deviceId: 'd2', seq: 4 })]);
    const mine =
      'SELECT incarnation, seq, celsius FROM readings WHERE device_id = $1 ORDER BY incarnation, seq';
    assert.deepEqual(await pool.query(mine, ['d1']), [
      { incarnation: 0, seq: 0, celsius: 21.5 },
      { incarnation: 0, seq: 500, celsius: 21.5 },
      { incarnation: 1, seq: 0, celsius: 3 },
    ]);
    assert.deepEqual(await pool.query(mine, ['d2']), [{ incarnation: 0, seq: 4, celsius: 21.5 }]);
    const [device] = await pool.query(`SELECT incarnation, seq FROM devices WHERE device_id = 'd1'`);
    assert.deepEqual(device, { incarnation: 1, seq: 0 });
  });

  it('a reading of the former life that is sent again is a duplicate, not a new one', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 7, heating: true })]);
    await lives().open('d1', undefined, undefined);
    await lives().open('d1', 5, undefined);
    const applied = await drain(store, epoch, [
      entry(2, { seq: 7, heating: true }),
      entry(3, { seq: 7, heating: false }),
    ]);
    assert.deepEqual(applied, { stored: 1, duplicate: 1, rejected: 0, redelivered: 0 });
    assert.deepEqual(await pool.query('SELECT incarnation, heating FROM readings ORDER BY incarnation'), [
      { incarnation: 0, heating: true },
      { incarnation: 5, heating: false },
    ]);
  });

  it('the next incarnation is above those that the device has named itself', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1, incarnation: 9 })]);
    assert.deepEqual(
      await lives()
        .open('d1', 9, undefined)
        .then(({ outcome }) => outcome),
      'too_low',
    );
    assert.equal((await lives().open('d1', undefined, undefined)).incarnation, 10);
  });

  it('`seq` 9007199254740991 once does not freeze the latest state', async () => {
    const { store, epoch } = await coordinator();
    const leap = 9_007_199_254_740_991;
    await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, { seq: 2 }), entry(3, { seq: leap })]);
    assert.equal((await state())?.['seq'], leap);
    const seen: unknown[] = [];
    for (const [logId, seq] of [
      [4, 3],
      [5, 4],
      [6, 5],
    ] as const) {
      await drain(store, epoch, [entry(logId, { seq, celsius: seq })]);
      seen.push(await state());
    }
    assert.deepEqual(
      seen,
      [3, 4, 5].map((seq) => ({ incarnation: 0, seq, celsius: seq })),
    );
    assert.deepEqual(await accounts(), { high_water_mark: 6, stored: 6, duplicate: 0, rejected: 0 });
  });

  it('the latest state follows the rule, however the log is cut and redelivered', async () => {
    const { store, epoch } = await coordinator(1, { seqLeapMax: 10 });
    const reading = fc.record({
      device: fc.constantFrom('d1', 'd1', 'd2'),
      incarnation: fc.constantFrom(0, 0, 0, 0, 1),
      seq: fc.oneof(fc.nat(30), fc.nat(30), fc.constantFrom(500, 9_000, 9_007_199_254_740_991)),
    });
    const cuts = fc.array(fc.record({ size: fc.integer({ min: 1, max: 5 }), again: fc.nat(3) }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(reading, { minLength: 1, maxLength: 30 }), cuts, async (sent, pieces) => {
        await pool.query('TRUNCATE readings, devices, drain_logs');
        const entries = sent.map(({ device, incarnation, seq }, index) =>
          entry(index + 1, { deviceId: device, incarnation, seq }),
        );
        for (let at = 0, turn = 0; at < entries.length; turn++) {
          const { size, again } = pieces[turn % pieces.length]!;
          await drain(store, epoch, entries.slice(Math.max(0, at - again), at + size));
          at += size;
        }
        const found = await pool.query('SELECT device_id, incarnation, seq FROM devices ORDER BY device_id');
        const expected = ['d1', 'd2'].flatMap((id) => {
          const latest = latestStateOf(
            sent.filter(({ device }) => device === id),
            10,
          );
          return latest === undefined
            ? []
            : [{ device_id: id, incarnation: latest.incarnation, seq: latest.seq }];
        });
        assert.deepEqual(found, expected);
      }),
      { numRuns: 60 },
    );
  });

  it('readings outside the plausible limits are stored, marked and counted', async () => {
    let counted = 0;
    const { store, epoch } = await coordinator(1, { onImplausible: (readings) => (counted += readings) });
    const entries = [20, -127, 85, 998.9, 22].map((celsius, seq) => entry(seq + 1, { seq, celsius }));
    await drain(store, epoch, entries);
    assert.deepEqual(await pool.query('SELECT celsius, implausible FROM readings ORDER BY seq'), [
      { celsius: 20, implausible: false },
      { celsius: -127, implausible: true },
      { celsius: 85, implausible: true },
      { celsius: 998.9, implausible: true },
      { celsius: 22, implausible: false },
    ]);
    assert.equal(counted, 3);
    await drain(store, epoch, [entry(6, { seq: 5, humidityPercent: 0 })]);
    assert.deepEqual(await pool.query('SELECT seq, implausible FROM devices'), [
      { seq: 5, implausible: true },
    ]);
  });
});

describe('an upgrade while a node of the former version writes', () => {
  it('the former call keeps working before, during and after the migration', async () => {
    const old = await testDatabase();
    const own = createPool({ ...sqlPatience, url: old.url, applicationName: 'test' });
    try {
      const to = (version: string) =>
        migrate({ url: old.url, folder, table: 'analytics_schema', to: version });
      await to('2');
      await own.query('SELECT * FROM take_over(1, 60000)');
      const apply = (logId: number, seq: number, celsius: number) =>
        own.query(
          `SELECT stored, duplicate, rejected, redelivered FROM apply_drain_batch(1, 1, $1, $2::bigint, $2::bigint, $2::bigint - 1, false,
             ARRAY[$2::bigint], ARRAY['d1'], ARRAY[$3::bigint], ARRAY[now()], ARRAY[now()], ARRAY[$4::real], ARRAY[NULL]::real[],
             ARRAY[NULL]::real[], ARRAY[NULL]::boolean[], ARRAY[true], '{}', '{}', '{}', '{}', '{}', '{}', '{}')`,
          [uuidText(log), logId, seq, celsius],
          'former',
        );
      const one = [{ stored: 1, duplicate: 0, rejected: 0, redelivered: 0 }];
      assert.deepEqual(await apply(1, 1, 20), one);
      const [, during] = await Promise.all([
        migrate({ url: old.url, folder, table: 'analytics_schema' }),
        apply(2, 9_000_000, 20),
      ]);
      assert.deepEqual(during, one);
      assert.deepEqual(await apply(3, 2, 20), one);
      assert.deepEqual(await own.query('SELECT incarnation, seq FROM devices'), [{ incarnation: 0, seq: 2 }]);
      await assert.rejects(apply(4, 2, 21), SqlStatementError);
      // And back: the former schema shows the highest seq again.
      await to('2');
      assert.deepEqual(await own.query('SELECT seq FROM devices'), [{ seq: 9_000_000 }]);
      assert.deepEqual(await apply(4, 3, 20), one);
    } finally {
      await own.close();
      await old.drop();
    }
  });
});
