import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { uuidText } from '@thermomesh/contracts';
import { DataRefusedError, StaleEpochError } from '@thermomesh/sql';
import { DrainGapError, SeqConflictError } from '../core/apply.ts';
import { accounts, coordinator, drain, entry, leaseMs, log, open, pool } from './testing.ts';

describe('a batch', () => {
  it('a batch stores all fields of its readings and the latest device state', async () => {
    const { store, epoch } = await coordinator();
    const full = {
      seq: 2,
      setpointCelsius: 20.5,
      humidityPercent: 40.25,
      heating: true,
      measuredAt: 253_402_214_399_999,
    };
    const applied = await drain(store, epoch, [entry(1, full), entry(2, { seq: 1, celsius: 21.53 })]);
    assert.deepEqual(applied, { stored: 2, duplicate: 0, rejected: 0, redelivered: 0 });
    const rows = await pool.query(
      `SELECT device_id, seq, (extract(epoch FROM measured_at) * 1000)::text AS ms, celsius, setpoint_celsius, humidity_percent, heating, epoch
       FROM readings ORDER BY seq`,
    );
    assert.deepEqual(rows, [
      {
        device_id: 'd1',
        seq: 1,
        ms: '1700000000123.000000',
        celsius: 21.53,
        setpoint_celsius: null,
        humidity_percent: null,
        heating: null,
        epoch,
      },
      {
        device_id: 'd1',
        seq: 2,
        ms: '253402214399999.000000',
        celsius: 21.5,
        setpoint_celsius: 20.5,
        humidity_percent: 40.25,
        heating: true,
        epoch,
      },
    ]);
    const devices = await pool.query('SELECT device_id, seq FROM devices');
    assert.deepEqual(devices, [{ device_id: 'd1', seq: 2 }]);
    const batches = await pool.query(
      'SELECT epoch, node, first_log_id, last_log_id, rows FROM drain_batches',
    );
    assert.deepEqual(batches, [{ epoch, node: 1, first_log_id: 1, last_log_id: 2, rows: 2 }]);
  });

  it('an older reading does not overwrite the latest state of its device', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 9, celsius: 9 })]);
    await drain(store, epoch, [entry(2, { seq: 3, celsius: 3 })]);
    assert.deepEqual(await pool.query('SELECT seq, celsius FROM devices'), [{ seq: 9, celsius: 9 }]);
  });

  it('redelivered messages are recognised by the high-water mark', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, 'garbage')]);
    const again = await drain(store, epoch, [
      entry(1, { seq: 1 }),
      entry(2, 'garbage'),
      entry(3, { seq: 2 }),
    ]);
    assert.deepEqual(again, { stored: 1, duplicate: 0, rejected: 0, redelivered: 2 });
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 2, duplicate: 0, rejected: 1 });
  });

  it('a reading sent ten times is stored once, in one batch or several', async () => {
    const { store, epoch } = await coordinator();
    const ten = Array.from({ length: 10 }, (_, i) => entry(i + 1, { seq: 1 }));
    assert.deepEqual(await drain(store, epoch, ten.slice(0, 6)), {
      stored: 1,
      duplicate: 5,
      rejected: 0,
      redelivered: 0,
    });
    assert.deepEqual(await drain(store, epoch, ten.slice(6)), {
      stored: 0,
      duplicate: 4,
      rejected: 0,
      redelivered: 0,
    });
    assert.deepEqual(await accounts(), { high_water_mark: 10, stored: 1, duplicate: 9, rejected: 0 });
  });

  it('a seq with other content is rejected as seq_conflict, each time it comes', async () => {
    const { store, epoch } = await coordinator();
    const first = await drain(store, epoch, [
      entry(1, { seq: 1 }),
      entry(2, { seq: 1, celsius: 5 }),
      entry(3, { seq: 2 }),
    ]);
    assert.deepEqual(first, { stored: 2, duplicate: 0, rejected: 1, redelivered: 0 });
    const later = await drain(store, epoch, [
      entry(4, { seq: 2, heating: true }),
      entry(5, { seq: 1, celsius: 5 }),
    ]);
    assert.deepEqual(later, { stored: 0, duplicate: 0, rejected: 2, redelivered: 0 });
    const rejected = await pool.query('SELECT log_id, seq, reason FROM rejected_readings ORDER BY log_id');
    assert.deepEqual(rejected, [
      { log_id: 2, seq: 1, reason: 'seq_conflict' },
      { log_id: 4, seq: 2, reason: 'seq_conflict' },
      { log_id: 5, seq: 1, reason: 'seq_conflict' },
    ]);
    assert.deepEqual(await pool.query('SELECT seq, celsius FROM readings ORDER BY seq'), [
      { seq: 1, celsius: 21.5 },
      { seq: 2, celsius: 21.5 },
    ]);
  });

  it('poison among good readings lands in rejected_readings with its raw bytes', async () => {
    const { store, epoch } = await coordinator();
    const poison = [
      'not json',
      '{"deviceId":"d1","seq":1,"measuredAt":0,"celsius":1e39}',
      '"\\u0000"',
      'x'.repeat(10_000),
    ];
    const entries = [
      entry(1, { seq: 1 }),
      ...poison.map((text, i) => entry(i + 2, text)),
      entry(9, { seq: 2 }),
    ];
    assert.deepEqual(await drain(store, epoch, entries), {
      stored: 2,
      duplicate: 0,
      rejected: 4,
      redelivered: 0,
    });
    const rows = await pool.query<{ raw: Buffer }>('SELECT raw FROM rejected_readings ORDER BY log_id');
    assert.deepEqual(
      rows.map(({ raw }) => raw.toString()),
      poison,
    );
  });

  it('a row that PostgreSQL refuses is found by bisection and rejected', async () => {
    const { store, epoch } = await coordinator();
    const entries = Array.from({ length: 33 }, (_, i) => entry(i + 1, { seq: i }));
    const bad = entries[20]!;
    assert.ok('reading' in bad.parsed);
    // A reading that the contract's checks let through and a later schema refuses.
    await pool.query('ALTER TABLE readings ADD CONSTRAINT warm CHECK (celsius < 500)');
    bad.parsed.reading.celsius = 999;
    await assert.rejects(store.apply(epoch, 1, { log, entries }), DataRefusedError);
    assert.deepEqual(await drain(store, epoch, entries), {
      stored: 32,
      duplicate: 0,
      rejected: 1,
      redelivered: 0,
    });
    await pool.query('ALTER TABLE readings DROP CONSTRAINT warm');
    assert.deepEqual(await pool.query('SELECT log_id, reason FROM rejected_readings'), [
      { log_id: 21, reason: 'refused_by_database' },
    ]);
    assert.deepEqual(await accounts(), { high_water_mark: 33, stored: 32, duplicate: 0, rejected: 1 });
  });

  it('a conflict names its log ids and stores nothing', async () => {
    const { store, epoch } = await coordinator();
    await store.apply(epoch, 1, { log, entries: [entry(1, { seq: 1 })] });
    await assert.rejects(
      store.apply(epoch, 1, { log, entries: [entry(2, { seq: 2 }), entry(3, { seq: 1, celsius: 1 })] }),
      (error) => {
        assert.ok(error instanceof SeqConflictError);
        assert.deepEqual([...error.logIds], [3]);
        return true;
      },
    );
    assert.deepEqual(await accounts(), { high_water_mark: 1, stored: 1, duplicate: 0, rejected: 0 });
  });

  it('a new gateway store starts its own high-water mark', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(500, { seq: 1 })]);
    const other = Buffer.alloc(16, 7);
    const applied = await store.apply(epoch, 1, { log: other, entries: [entry(1, { seq: 2 })] });
    assert.deepEqual(applied, { stored: 1, duplicate: 0, rejected: 0, redelivered: 0 });
  });
});

describe('a gap before a batch', () => {
  it('a gap never moves the high-water mark; the refused batch is sent again', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 })]);
    await assert.rejects(drain(store, epoch, [entry(3, { seq: 3 })]), DrainGapError);
    assert.deepEqual(await accounts(), { high_water_mark: 1, stored: 1, duplicate: 0, rejected: 0 });
    await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, { seq: 2 }), entry(3, { seq: 3 })]);
    assert.deepEqual(await accounts(), { high_water_mark: 3, stored: 3, duplicate: 0, rejected: 0 });
  });

  it('a gap is accepted on purpose only, a new store may begin anywhere', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(500, { seq: 1 })]);
    const applied = await store.apply(epoch, 1, { log, entries: [entry(900, { seq: 2 })] }, true);
    assert.equal(applied.stored, 1);
    assert.deepEqual(await accounts(), { high_water_mark: 900, stored: 2, duplicate: 0, rejected: 0 });
  });
});

describe('the retention of batches', () => {
  /**
   * Inserts batch records of these epochs, with ids from 1; the last `young` of them were committed
   * just now.
   */
  async function batches(epochs: number[], young = 0): Promise<void> {
    await pool.query(
      `INSERT INTO drain_batches (epoch, node, log, first_log_id, last_log_id, rows, duplicates, rejected, redelivered, committed_at)
       SELECT epoch, 1, $2, n, n, 1, 0, 0, 0, now() - CASE WHEN n > $3 THEN interval '0' ELSE interval '2 hours' END
       FROM unnest($1::bigint[]) WITH ORDINALITY AS e (epoch, n) ORDER BY n`,
      [epochs, uuidText(log), epochs.length - young],
    );
  }
  const left = async () =>
    (await pool.query<{ id: number }>('SELECT id FROM drain_batches ORDER BY id')).map(({ id }) => id);
  const retention = { keptHours: 1, rowsMax: 100 };

  it('pruning keeps young records and the first and last of each epoch', async () => {
    const { store, epoch } = await coordinator();
    await batches([1, 1, 1, 1, 2, 3, 3, 4, 4, 4, 4], 2);
    assert.equal(await store.prune(epoch, retention), 3);
    assert.deepEqual(await left(), [1, 4, 5, 6, 7, 8, 10, 11]);
    assert.equal(await store.prune(epoch, retention), 0);
  });

  it('pruning keeps the evidence of a batch behind a higher epoch', async () => {
    const { store, epoch } = await coordinator();
    await batches([1, 1, 1, 2, 2, 1, 1, 2, 2, 2]);
    await store.prune(epoch, retention);
    assert.deepEqual(await left(), [1, 4, 7, 10]);
  });

  it('pruning removes the oldest records first, up to its limit', async () => {
    const { store, epoch } = await coordinator();
    await batches([1, 1, 1, 1, 1]);
    assert.equal(await store.prune(epoch, { ...retention, rowsMax: 2 }), 2);
    assert.deepEqual(await left(), [1, 4, 5]);
  });

  it('only the present coordinator may prune', async () => {
    const { store, epoch } = await coordinator();
    await batches([1, 1, 1]);
    await assert.rejects(store.prune(epoch - 1, retention), StaleEpochError);
    assert.deepEqual(await left(), [1, 2, 3]);
  });
});

describe('the fence', () => {
  it('a paused coordinator cannot commit after its successor', async () => {
    const old = await coordinator(1);
    await pool.query(`UPDATE coordinator SET renewed_at = now() - interval '1 hour'`);
    const successor = await coordinator(2);
    assert.equal(successor.epoch, old.epoch + 1);
    // The take-over ended its session. On a new session its epoch is refused too.
    await old.store.closed;
    const woken = await open();
    await assert.rejects(
      woken.apply(old.epoch, 1, { log, entries: [entry(1, { seq: 1 })] }),
      StaleEpochError,
    );
    await assert.rejects(woken.attach(old.epoch), StaleEpochError);
    await assert.rejects(woken.renew(old.epoch), StaleEpochError);
    assert.deepEqual(await pool.query('SELECT * FROM readings'), []);
  });

  it('a living coordinator is not taken over, whether others see it or not', async () => {
    const { epoch } = await coordinator(1);
    const other = await open();
    assert.deepEqual(await other.takeOver(2, leaseMs), { won: false, epoch, holder: 1 });
  });

  it('a coordinator without a session is taken over though its lease is fresh', async () => {
    const { store, epoch } = await coordinator(1);
    store.close();
    const other = await open();
    for (;;) {
      // The server notices the closed socket a moment later.
      const answer = await other.takeOver(2, leaseMs);
      if (!answer.won) continue;
      assert.equal(answer.epoch, epoch + 1);
      break;
    }
  });

  it('a released lease is free at once', async () => {
    const { store, epoch } = await coordinator(1);
    await store.release(epoch);
    const other = await open();
    assert.deepEqual(await other.takeOver(2, leaseMs), { won: true, epoch: epoch + 1, holder: 2 });
  });

  it('of two take-overs at once one wins, the other learns who won', async () => {
    const [a, b] = await Promise.all([open(), open()]);
    const answers = await Promise.all([a.takeOver(1, leaseMs), b.takeOver(2, leaseMs)]);
    assert.equal(answers.filter(({ won }) => won).length, 1);
    assert.equal((await pool.query<{ epoch: number }>('SELECT epoch FROM coordinator'))[0]?.epoch, 1);
  });

  it('a coordinator continues its epoch on a new session', async () => {
    const { store, epoch } = await coordinator(1);
    store.close();
    const next = await open();
    await next.attach(epoch);
    await next.apply(epoch, 1, { log, entries: [entry(1, { seq: 1 })] });
    const other = await open();
    assert.equal((await other.takeOver(2, leaseMs)).won, false);
  });
});
