import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DevicesReport } from '@thermomesh/contracts';
import { sqlPatience, testDatabase } from '@thermomesh/servers';
import { createPool, DataRefusedError, migrate, StaleEpochError } from '@thermomesh/sql';
import { toBestEffortEntry } from '../core/best-effort.ts';
import { createDeviceIncarnations } from './pg-device-incarnations.ts';
import { createTelemetryQueries } from './pg-telemetry-queries.ts';
import { accounts, coordinator, drain, entry, folder, leaseMs, open, pool } from './testing.ts';

const measuredAt = 1_700_000_000_123;
const qos0 = (body: Record<string, unknown>, deviceId = 'd1') =>
  toBestEffortEntry(deviceId, {
    receivedAtMs: 1_700_000_001_000,
    payload: Buffer.from(JSON.stringify({ deviceId, measuredAt, celsius: 21.5, ...body })),
  });
const device = (deviceId = 'd1') => createTelemetryQueries(pool).device(deviceId);
const qos0Account = async () => (await createTelemetryQueries(pool).accounts()).qos0;
const nothing = { relayed: 0, stored: 0, duplicate: 0, rejected: 0, dropped: 0 };
const stored = () =>
  pool.query('SELECT seq, celsius, best_effort AS "bestEffort" FROM readings ORDER BY seq');

describe('readings at QoS 0 in PostgreSQL', () => {
  it('they have an account of their own, and change no term of I6', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 })]);
    const before = await accounts();
    const applied = await store.applyBestEffort(epoch, 1, [
      qos0({ seq: 2 }),
      qos0({ seq: 2 }),
      qos0({ seq: 1 }),
      qos0({ seq: 2, celsius: 9 }),
      qos0({ seq: 3, celsius: 'warm' }),
    ]);
    assert.deepEqual(applied, { stored: 1, duplicate: 2, rejected: 2 });
    assert.deepEqual(await accounts(), before);
    assert.deepEqual(await qos0Account(), { ...nothing, stored: 1, duplicate: 2, rejected: 2 });
    assert.deepEqual(await stored(), [
      { seq: 1, celsius: 21.5, bestEffort: false },
      { seq: 2, celsius: 21.5, bestEffort: true },
    ]);
    assert.equal((await device())?.seq, 2, 'the latest state follows them');
    const rejected = await createTelemetryQueries(pool).rejected(
      { limit: 9, order: 'newest', after: undefined },
      { deviceId: 'd1' },
    );
    assert.deepEqual(
      rejected.map(({ reason }) => reason),
      ['bad_celsius', 'seq_conflict'],
    );
  });

  it('a QoS 1 reading after the same one at QoS 0 is a duplicate, another a conflict', async () => {
    const { store, epoch } = await coordinator();
    await store.applyBestEffort(epoch, 1, [qos0({ seq: 1 }), qos0({ seq: 2 })]);
    const applied = await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, { seq: 2, celsius: 3 })]);
    assert.deepEqual(applied, { stored: 0, duplicate: 1, rejected: 1, redelivered: 0 });
    assert.deepEqual(await accounts(), { high_water_mark: 2, stored: 0, duplicate: 1, rejected: 1 });
  });

  it('the fence refuses them under an old epoch, and each epoch leaves a batch (I2)', async () => {
    const { store, epoch } = await coordinator();
    await store.applyBestEffort(epoch, 1, [qos0({ seq: 1 })]);
    assert.deepEqual(await pool.query('SELECT epoch, rows FROM drain_batches'), [{ epoch, rows: 1 }]);
    await store.release(epoch);
    const successor = await open();
    assert.ok((await successor.takeOver(2, leaseMs)).won);
    const deposed = await open();
    await assert.rejects(deposed.applyBestEffort(epoch, 1, [qos0({ seq: 2 })]), StaleEpochError);
    await assert.rejects(
      deposed.noteDevices(epoch, { relayed: 1, dropped: 0, devices: [] }),
      StaleEpochError,
    );
    assert.equal((await stored()).length, 1);
  });

  it('data that PostgreSQL refuses fails the statement and stores nothing', async () => {
    const { store, epoch } = await coordinator();
    const detail = 'text with \u0000';
    const poison = { ...qos0({}), parsed: { rejection: { reason: 'not_json', detail, seq: null } } } as const;
    await assert.rejects(store.applyBestEffort(epoch, 1, [qos0({ seq: 1 }), poison]), DataRefusedError);
    assert.deepEqual(await stored(), []);
  });
});

describe('what the row of a device says', () => {
  const report = (more: Partial<DevicesReport['devices'][number]>): DevicesReport => ({
    relayed: 3,
    dropped: 1,
    devices: [{ deviceId: 'new', notStored: 3, firstAtMs: 1000, lastAtMs: 2000, refusals: [], ...more }],
  });

  it('a device whose readings all came at QoS 0 is listed, with what to do', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 })]);
    await store.noteDevices(epoch, report({}));
    await store.noteDevices(epoch, report({ firstAtMs: 3000, lastAtMs: 4000 }));
    const row = await device('new');
    assert.deepEqual([row?.seq, row?.celsius, row?.measuredAtMs], [null, null, null]);
    const { hint, ...counts } = row!.qos0!;
    assert.deepEqual(counts, { count: 6, firstAtMs: 1000, lastAtMs: 4000 });
    assert.match(hint, /QoS 1.*QOS0=store/);
    const rows = await createTelemetryQueries(pool).devices(10, '');
    assert.deepEqual(
      rows.map(({ deviceId, seq }) => [deviceId, seq]),
      [
        ['d1', 1],
        ['new', null],
      ],
    );
    assert.deepEqual(await createTelemetryQueries(pool).devices(1, 'd1'), rows.slice(1));
    assert.deepEqual(await qos0Account(), { ...nothing, relayed: 6, dropped: 2 });
  });

  it('refusals are one entry for each kind and reason, the latest first, at most 20', async () => {
    const { store, epoch } = await coordinator();
    const refusal = (n: number, atMs: number) =>
      ({
        kind: 'publish',
        reason: `r${n}`,
        topic: `t${atMs}`,
        count: 2,
        firstAtMs: atMs,
        lastAtMs: atMs,
      }) as const;
    const quiet = { notStored: 0, firstAtMs: null, lastAtMs: null };
    await store.noteDevices(epoch, report({ ...quiet, refusals: [refusal(1, 10), refusal(2, 20)] }));
    await store.noteDevices(epoch, report({ ...quiet, refusals: [refusal(1, 30)] }));
    const row = await device('new');
    assert.equal(row?.qos0, null);
    assert.deepEqual(row?.refusals, [{ ...refusal(1, 30), count: 4, firstAtMs: 10 }, refusal(2, 20)]);
    const many = Array.from({ length: 50 }, (_, n) => refusal(n + 3, 100 + n));
    await store.noteDevices(epoch, report({ ...quiet, refusals: many }));
    assert.equal((await device('new'))?.refusals.length, 20);
  });

  it('a device that begins seq again has a hint, until an incarnation is opened', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, { seq: 1 }), entry(2, { seq: 1, celsius: 4 })]);
    const { hint, ...counts } = (await device())!.conflicts!;
    const atMs = 1_700_000_001_000;
    assert.deepEqual(counts, { count: 1, firstAtMs: atMs, lastAtMs: atMs });
    assert.match(hint!, /mesh device reset d1/);
    await createDeviceIncarnations(pool).open('d1', undefined, undefined);
    await drain(store, epoch, [entry(3, { seq: 1, celsius: 4 })]);
    const after = await device();
    assert.deepEqual([after?.incarnation, after?.conflicts?.count, after?.conflicts?.hint], [1, 1, null]);
  });
});

describe('readings without seq', () => {
  it('sent again they are duplicates; in the same ms with other values a conflict', async () => {
    const { store, epoch } = await coordinator();
    const applied = await drain(store, epoch, [
      entry(1, {}),
      entry(2, {}),
      entry(3, { celsius: 4 }),
      entry(4, { measuredAt: measuredAt + 1, celsius: 4 }),
    ]);
    assert.deepEqual(applied, { stored: 2, duplicate: 1, rejected: 1, redelivered: 0 });
    assert.equal((await device())?.seq, measuredAt + 1);
    assert.equal((await device())?.conflicts?.count, 1);
  });

  it('late ones and a clock that goes back do not change the latest state', async () => {
    const { store, epoch } = await coordinator();
    await drain(store, epoch, [entry(1, {})]);
    await drain(store, epoch, [entry(2, { measuredAt: measuredAt - 900_000 })]);
    assert.equal((await device())?.measuredAtMs, measuredAt);
    await drain(store, epoch, [entry(3, { seq: 7 })]);
    assert.equal((await device())?.seq, 7, 'a device that mixes both shows what came last');
    await drain(store, epoch, [entry(4, { measuredAt: measuredAt + 60_000 })]);
    assert.equal((await device())?.measuredAtMs, measuredAt + 60_000);
  });
});

it('migration 007 can be undone and done again', async () => {
  const database = await testDatabase();
  const at = { url: database.url, folder, table: 'analytics_schema' };
  await migrate(at);
  await migrate({ ...at, to: '006' });
  assert.equal((await migrate(at))[0], '007.do.device-notices.sql');
  const after = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  assert.deepEqual(await after.query('SELECT relayed FROM qos0_accounts'), [{ relayed: 0 }]);
  await after.close();
  await database.drop();
});
