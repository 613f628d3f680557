import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startMesh, until, type MeshHandle } from '@thermomesh/mesh/testing';
import { assertIntact, assertKept, connectDevice, publish, reading, waitMs } from './support.ts';

let mesh: MeshHandle;
before(async () => {
  mesh = await startMesh({ nodes: 1 });
});
after(() => mesh.remove());

const minuteMs = 60_000;

interface Times {
  seq: number;
  measuredAtMs: number;
  receivedAtMs: number;
}
/** The times in `table` in exact milliseconds; both tables have these columns. */
const times = (table: 'readings' | 'devices', deviceId: string) =>
  mesh.sql.query<Times & Record<string, unknown>>(
    `SELECT seq, (extract(epoch FROM measured_at) * 1000)::float8 AS "measuredAtMs",
       (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs"
     FROM ${table} WHERE device_id = $1 ORDER BY seq`,
    [deviceId],
  );

describe('a device whose clock is wrong', () => {
  for (const [hazard, deviceId, offMs] of [
    ['a clock five minutes fast', 'fast', 5 * minuteMs],
    ['a clock five minutes slow', 'slow', -5 * minuteMs],
  ] as const) {
    it(`${hazard} is stored as measured, beside the time of the gateway`, async () => {
      const device = await connectDevice(mesh, deviceId);
      const before = Date.now();
      const measuredAt = [0, 1, 2].map((seq) => before + offMs + seq);
      for (const [seq, at] of measuredAt.entries())
        await publish(device, deviceId, reading(deviceId, seq, { measuredAt: at }));
      const after = Date.now();
      await mesh.drained();
      const rows = await times('readings', deviceId);
      assert.deepEqual(
        rows.map(({ measuredAtMs }) => measuredAtMs),
        measuredAt,
      );
      for (const { receivedAtMs } of rows)
        assert.ok(receivedAtMs >= before && receivedAtMs <= after, `${receivedAtMs} of ${before}–${after}`);
      await device.endAsync();
    });
  }

  it('after a clock is set back, the latest state is that of the highest seq', async () => {
    const device = await connectDevice(mesh, 'corrected');
    const now = Date.now();
    // The clock is five minutes fast, then corrected; a reading from before arrives after that.
    for (const [seq, measuredAt, celsius] of [
      [1, now + 5 * minuteMs, 20],
      [3, now, 22],
      [2, now + 5 * minuteMs + 1, 21],
    ] as const)
      await publish(device, 'corrected', reading('corrected', seq, { measuredAt, celsius }));
    await mesh.drained();
    const [state] = await times('devices', 'corrected');
    assert.deepEqual([state?.seq, state?.measuredAtMs], [3, now]);
    const [{ celsius } = { celsius: NaN }] = await mesh.sql.query<{ celsius: number }>(
      "SELECT celsius FROM devices WHERE device_id = 'corrected'",
    );
    assert.equal(celsius, 22);
    await device.endAsync();
  });
});

describe('a fleet that comes back', () => {
  /** Each device has one reading for every minute of an hour. */
  const storm = { devices: 5_000, 'storm-seconds': 3, 'backfill-minutes': 60 };

  it('a fleet that reconnects with a backlog loses no reading and delays no device', async () => {
    const { devices, ...more } = storm;
    const bystander = await connectDevice(mesh, 'bystander');
    const load = mesh.startLoad({ devices, rate: 500, seconds: 4, more });
    let finished = false;
    const ended = load.finished.finally(() => (finished = true));
    let published = 0;
    while (!finished) await publish(bystander, 'bystander', reading('bystander', published++));
    await ended;
    const { document } = await mesh.judgeLoad(load);
    assertIntact(document);
    assert.deepEqual([document.acked, document.stored, document.rejected], [document.sent, document.sent, 0]);
    assert.equal(document.sent, devices * storm['backfill-minutes'] + 2_000);
    // The other device published one reading at a time, each acknowledged, during the storm.
    assert.ok(published > 10, `${published} readings of the other device`);
    assert.equal((await times('readings', 'bystander')).length, published);
    await until({ what: 'the fleet to be gone', timeoutMs: waitMs }, async () => {
      return (await mesh.broker()).connections <= 10;
    });
    const { accounts } = await mesh.status();
    assert.equal(accounts.balanced, true, JSON.stringify(accounts));
    assertKept(await mesh.verify());
    await bystander.endAsync();
  });
});
