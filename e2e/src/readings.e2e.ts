import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startMesh, type MeshHandle } from '@thermomesh/mesh/testing';
import { connectDevice, publish, reading } from './support.ts';

let mesh: MeshHandle;
before(async () => {
  mesh = await startMesh({ nodes: 1 });
});
after(() => mesh.remove());

const stored = (deviceId: string) =>
  mesh.sql.query<{ seq: number; celsius: number }>(
    'SELECT seq, celsius FROM readings WHERE device_id = $1 ORDER BY seq',
    [deviceId],
  );
const rejected = (deviceId: string) =>
  mesh.sql.query<{ reason: string; raw: Buffer }>(
    'SELECT reason, raw FROM rejected_readings WHERE device_id = $1 ORDER BY id',
    [deviceId],
  );

describe('readings', () => {
  it('poison readings are acked and recorded; good readings among them are stored', async () => {
    const device = await connectDevice(mesh, 'poisoned');
    const bad: [payload: string | Buffer, reason: string][] = [
      ['hello', 'not_json'],
      [Buffer.from([0, 1, 2, 0xff]), 'not_json'],
      ['x'.repeat(200_000), 'too_large'],
      ['{"deviceId":"poisoned","seq":1000,"measuredAt":0,"celsius":1e39}', 'bad_celsius'],
      ['{"deviceId":"poisoned\\u0000","seq":1001,"measuredAt":0,"celsius":1}', 'device_mismatch'],
      [reading('poisoned', 1002, { measuredAt: 9.4e15 }), 'bad_measured_at'],
      [reading('poisoned', 1003, { measuredAt: '+300000-01-01T00:00:00Z' }), 'bad_measured_at'],
      [reading('somebody-else', 1004), 'device_mismatch'],
    ];
    for (const [index, [payload]] of bad.entries()) {
      await publish(device, 'poisoned', reading('poisoned', index));
      await publish(device, 'poisoned', payload);
    }
    await mesh.drained();
    assert.deepEqual(
      (await stored('poisoned')).map(({ seq }) => seq),
      bad.map((_, index) => index),
    );
    const rows = await rejected('poisoned');
    assert.deepEqual(
      rows.map(({ reason }) => reason),
      bad.map(([, reason]) => reason),
    );
    assert.deepEqual(
      rows.map(({ raw }) => raw),
      bad.map(([payload]) => Buffer.from(payload)),
    );
    await device.endAsync();
  });

  it('the same reading sent ten times is stored once', async () => {
    const device = await connectDevice(mesh, 'repeating');
    for (let i = 0; i < 10; i++) await publish(device, 'repeating', reading('repeating', 1));
    await mesh.drained();
    assert.deepEqual(await stored('repeating'), [{ seq: 1, celsius: 20.1 }]);
    assert.deepEqual(await rejected('repeating'), []);
    await device.endAsync();
  });

  it('the same seq with other content is rejected, and the first reading stays', async () => {
    const device = await connectDevice(mesh, 'reset');
    await publish(device, 'reset', reading('reset', 1));
    await publish(device, 'reset', reading('reset', 1, { celsius: 5 }));
    await mesh.drained();
    assert.deepEqual(await stored('reset'), [{ seq: 1, celsius: 20.1 }]);
    assert.deepEqual(
      (await rejected('reset')).map(({ reason }) => reason),
      ['seq_conflict'],
    );
    await device.endAsync();
  });

  it('late and unordered readings on the bare topic are stored for their device', async () => {
    const device = await connectDevice(mesh, 'bare');
    await device.publishAsync('thermostat/data', reading('bare', 7), { qos: 1 });
    await device.publishAsync('thermostat/data', reading('bare', 3, { measuredAt: '2001-12-31T23:59:59Z' }), {
      qos: 1,
    });
    await mesh.drained();
    assert.deepEqual(
      (await stored('bare')).map(({ seq }) => seq),
      [3, 7],
    );
    await device.endAsync();
  });

  it('QoS 0 readings are counted apart and change neither tables nor accounts', async () => {
    const device = await connectDevice(mesh, 'careless');
    const { counters } = await mesh.broker();
    await device.publishAsync('thermostat/data/careless', reading('careless', 1), { qos: 0 });
    await publish(device, 'careless', reading('careless', 2));
    await mesh.drained();
    const now = (await mesh.broker()).counters;
    assert.equal(now.qos0, counters.qos0 + 1);
    assert.equal(now.accepted, counters.accepted + 1);
    assert.deepEqual(
      (await stored('careless')).map(({ seq }) => seq),
      [2],
    );
    await device.endAsync();
  });

  it('the text `unavailable` again and again is one rejection each, with its time', async () => {
    const device = await connectDevice(mesh, 'flaky');
    for (let i = 0; i < 20; i++) await publish(device, 'flaky', 'unavailable');
    await mesh.drained();
    const counts = await mesh.sql.query(
      `SELECT reason, rejected, last_received_at > first_received_at AS apart FROM rejection_counts WHERE device_id = 'flaky'`,
    );
    assert.deepEqual(counts, [{ reason: 'not_json', rejected: 20, apart: true }]);
    assert.equal((await rejected('flaky')).length, 20);
    await device.endAsync();
  });

  it('a device that leaps and is reset is followed by its latest state', async () => {
    const device = await connectDevice(mesh, 'leaping');
    const state = async () => {
      await mesh.drained();
      const sql = `SELECT incarnation, seq FROM devices WHERE device_id = 'leaping'`;
      return (await mesh.sql.query(sql))[0];
    };
    for (const seq of [1, 2, 9_007_199_254_740_991, 3])
      await publish(device, 'leaping', reading('leaping', seq));
    assert.deepEqual(await state(), { incarnation: 0, seq: 3 });
    await publish(device, 'leaping', reading('leaping', 0, { incarnation: 1 }));
    assert.deepEqual(await state(), { incarnation: 1, seq: 0 });
    await device.endAsync();
  });

  it('one address answers for readings and rejections, and lists its routes', async () => {
    const device = await connectDevice(mesh, 'asked');
    await publish(device, 'asked', reading('asked', 7));
    await publish(device, 'asked', 'hello');
    await mesh.drained();
    await device.endAsync();
    const authorization = `Bearer ${mesh.operatorToken}`;
    const ask = async (route: string, headers: Record<string, string> = { authorization }) => {
      const answer = await fetch(mesh.httpUrl + route, { headers });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    assert.equal((await ask('/v1/devices/asked')).body['seq'], 7);
    const { body: rejections } = await ask('/v1/rejected?deviceId=asked');
    assert.deepEqual(
      (rejections['items'] as { reason: string }[]).map(({ reason }) => reason),
      ['not_json'],
    );
    assert.equal((await ask('/v1/devices', {})).status, 401);
    const index = (await ask('/', {})).body as { mqtt: { port: number }; routes: { path: string }[] };
    assert.equal(index.mqtt.port, Number(new URL(mesh.mqttUrl).port));
    assert.ok(index.routes.some(({ path }) => path === '/v1/devices/{deviceId}/readings'));
  });

  it('the accounts balance when all readings are drained', async () => {
    await mesh.drained();
    const { accounts } = await mesh.status();
    assert.equal(accounts.balanced, true, JSON.stringify(accounts));
    assert.ok((accounts.stored ?? 0) > 0 && (accounts.rejected ?? 0) > 0, JSON.stringify(accounts));
    assert.equal(
      accounts.accepted,
      (accounts.stored ?? 0) + (accounts.duplicate ?? 0) + (accounts.rejected ?? 0),
    );
  });
});
