/** How readings are shown: numbers, times, order. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { timesOfYears } from '@thermomesh/contracts';
import {
  createGatekeeper,
  createHealth,
  createLog,
  createMetrics,
  deriveToken,
  subjects,
  type HttpApp,
} from '@thermomesh/runtime';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { createPool, migrate, type SqlPool } from '@thermomesh/sql';
import { createDeviceIncarnations } from '../adapters/pg-device-incarnations.ts';
import { createTelemetryQueries } from '../adapters/pg-telemetry-queries.ts';
import { createAnalyticsApp } from './app.ts';
import type { RouteDeps } from './deps.ts';

const secret = 'a secret of at least thirty-two characters';
const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
let database: TestDatabase;
let pool: SqlPool;
let app: HttpApp;

interface Page<R> {
  items: R[];
  next: string | null;
}

before(async () => {
  database = await testDatabase();
  await migrate({
    url: database.url,
    folder: fileURLToPath(new URL('../../migrations', import.meta.url)),
    table: 'analytics_schema',
  });
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
  // 50 readings of one device, one a minute from 1970 on, its latest state, and five rejections.
  await pool.query(
    `INSERT INTO readings SELECT 'd1', n, from_unix_ms(n * 60000), now(), n / 10.0, NULL, NULL, NULL, 1, now() FROM generate_series(0, 49) n`,
  );
  await pool.query(`INSERT INTO devices SELECT 'd1', 5, now(), now(), 20, 21, 40, true`);
  await pool.query(
    `INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
     SELECT gen_random_uuid(), n, 'd1', NULL, now(), 'not_json', 'x', convert_to('poison ' || n, 'UTF8'), 1 FROM generate_series(1, 5) n`,
  );
  app = await createAnalyticsApp(
    {
      log: createLog('test', 'silent'),
      health: createHealth(),
      metrics: createMetrics({ defaults: false }),
      gatekeeper: createGatekeeper(secret, undefined),
    },
    {
      queries: createTelemetryQueries(pool),
      incarnations: createDeviceIncarnations(pool),
      times: timesOfYears(1970, 2099),
    } as RouteDeps,
  );
});

after(async () => {
  await app.close();
  await pool.close();
  await database.drop();
});

async function get<T>(url: string): Promise<T> {
  const response = await app.inject({ url, headers });
  assert.equal(response.statusCode, 200, response.body);
  return response.json<T>();
}

/** Returns the rows of all pages: follows `next` to the end. */
async function all<R>(url: string): Promise<R[]> {
  const rows: R[] = [];
  let next: string | null = null;
  do {
    const page: Page<R> = await get(next === null ? url : `${url}&cursor=${next}`);
    rows.push(...page.items);
    next = page.next;
  } while (next !== null);
  return rows;
}

describe('answers about readings', () => {
  it('-127, 85 and 998.9 °C are shown as implausible and left out of averages', async () => {
    await pool.query(
      `INSERT INTO readings (device_id, seq, measured_at, received_at, celsius, epoch, committed_at, implausible)
       SELECT 'sensor', n, from_unix_ms(n * 1000), now(), (ARRAY[20, -127, 85, 998.9, 22])[n], 1, now(), n BETWEEN 2 AND 4
       FROM generate_series(1, 5) n UNION ALL SELECT 'sensor', 6, from_unix_ms(60000), now(), 85, 1, now(), true`,
    );
    const readings = await all<{ implausible: boolean }>('/v1/devices/sensor/readings?limit=9');
    assert.deepEqual(
      readings.map(({ implausible }) => implausible),
      [false, true, true, true, false, true],
    );
    const buckets = await all<Record<string, unknown>>(
      '/v1/devices/sensor/readings?bucket=60&limit=9&time=unix-ms',
    );
    const names = ['startMs', 'count', 'implausible', 'celsiusAvg', 'celsiusMin', 'celsiusMax'];
    assert.deepEqual(
      buckets.map((bucket) => names.map((name) => bucket[name])),
      [
        [0, 2, 3, 21, 20, 22],
        [60_000, 0, 1, null, null, null],
      ],
    );
  });

  it('numbers are shown as they were sent, and every measured field has averages', async () => {
    await pool.query(
      `INSERT INTO readings (device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, epoch, committed_at)
       VALUES ('round', 1, from_unix_ms(0), now(), 20.07, 21.5, NULL, true, 1, now()),
              ('round', 2, from_unix_ms(1000), now(), 20.08, 21.5, 40.25, false, 1, now()),
              ('round', 3, from_unix_ms(2000), now(), 20.07, NULL, 41, NULL, 1, now())`,
    );
    const [first] = await all<{ celsius: number }>('/v1/devices/round/readings?limit=9');
    assert.equal(first?.celsius, 20.07);
    const answer = await app.inject({ url: '/v1/devices/round/readings?bucket=60', headers });
    assert.match(answer.body, /"celsiusAvg":20\.07,"celsiusMin":20\.07,"celsiusMax":20\.08,/);
    const [bucket] = answer.json<Page<Record<string, unknown>>>().items;
    const { setpointCelsiusAvg, setpointCelsiusMin, humidityPercentAvg, humidityPercentMax, heatingShare } =
      bucket ?? {};
    assert.deepEqual(
      [setpointCelsiusAvg, setpointCelsiusMin, humidityPercentAvg, humidityPercentMax, heatingShare],
      [21.5, 21.5, 40.63, 41, 0.5],
    );
  });

  it('times are RFC 3339 beside Unix ms, or Unix ms alone', async () => {
    const lists = ['devices', 'devices/d1/readings', 'rejected', 'rejected/summary', 'devices/d1/rejections'];
    for (const list of lists) {
      const [both] = (await get<Page<Record<string, unknown>>>(`/v1/${list}?limit=1`)).items;
      const [ms] = (await get<Page<Record<string, unknown>>>(`/v1/${list}?limit=1&time=unix-ms`)).items;
      const names = Object.keys(ms ?? {}).filter((name) => name.endsWith('AtMs'));
      assert.ok(names.length > 0, list);
      for (const name of names) {
        const time = new Date(Number(both?.[name])).toISOString();
        assert.equal(both?.[name.slice(0, -2)], time, `${list} ${name}`);
        assert.ok(!(name.slice(0, -2) in (ms ?? {})), `${list} ${name}`);
      }
    }
    const [bucket] = (await get<Page<{ start: string }>>('/v1/devices/d1/readings?bucket=60')).items;
    assert.equal(bucket?.start, '1970-01-01T00:00:00.000Z');
    const device = await get<{ measuredAt: string }>('/v1/devices/d1');
    assert.match(device.measuredAt, /Z$/);
    const zoneless = await app.inject({ url: '/v1/devices/d1/readings?from=2026-05-31T23:30:00', headers });
    assert.equal(
      zoneless.json<{ detail: string }>().detail,
      'from has no zone: end it with Z or an offset such as +02:00',
    );
  });

  it('the newest come first on request, and a cursor leads in both directions', async () => {
    const list = '/v1/devices/d1/readings?limit=3';
    for (const bucket of ['', '&bucket=600']) {
      const oldest = await all<object>(`${list}${bucket}`);
      assert.deepEqual(await all(`${list}${bucket}&order=newest`), oldest.toReversed());
      const { items, next } = await get<Page<object>>(`${list}${bucket}`);
      const back = await get<Page<object>>(`${list}${bucket}&order=newest&cursor=${next}`);
      assert.deepEqual(back.items, items.slice(0, -1).toReversed());
    }
    const rejected = await all<object>('/v1/rejected?limit=2');
    assert.deepEqual(await all('/v1/rejected?limit=2&order=oldest'), rejected.toReversed());
    const slip = await app.inject({ url: `${list}&order=latest`, headers });
    assert.deepEqual(slip.json<{ allowed: unknown }>().allowed, ['oldest', 'newest']);
  });

  it('the raw bytes of a rejection are Base64 without line feeds', async () => {
    await pool.query(
      `INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
       VALUES (gen_random_uuid(), 1, 'long', NULL, now(), 'not_json', 'x', decode(repeat('ff', 300), 'hex'), 1)`,
    );
    const [row] = await all<{ rawBase64: string }>('/v1/rejected?deviceId=long&limit=9');
    assert.equal(row?.rawBase64, Buffer.alloc(300, 0xff).toString('base64'));
  });
});
