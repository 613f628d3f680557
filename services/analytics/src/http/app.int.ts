import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DrainLimitsView } from '@thermomesh/contracts';
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
import { createTelemetryQueries } from '../adapters/pg-telemetry-queries.ts';
import { createAnalyticsApp } from './app.ts';

const secret = 'a secret of at least thirty-two characters';
const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
const drainLimits: DrainLimitsView = {
  limits: { batchRowsMax: 500, batchBytesMax: 4096, batchLingerMs: 3 },
  ...{ source: 'zookeeper', version: 2, fresh: true, refused: null },
};
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
  // 250 readings of one device, one a minute from the epoch; the same device's last one is its latest state.
  await pool.query(
    `INSERT INTO readings SELECT 'd1', n, from_unix_ms(n * 60000), now(), n / 10.0, NULL, NULL, NULL, 1, now() FROM generate_series(0, 249) n`,
  );
  await pool.query(
    `INSERT INTO devices SELECT 'd' || n, 5, now(), now(), 20, 21, 40, true FROM generate_series(1, 5) n`,
  );
  await pool.query(
    `INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
     SELECT gen_random_uuid(), n, 'd' || n % 2, NULL, now(), 'not_json', 'x', convert_to('poison ' || n, 'UTF8'), 1 FROM generate_series(1, 5) n`,
  );
  await pool.query(
    `INSERT INTO drain_logs VALUES (gen_random_uuid(), 9, 5, 2, 2), (gen_random_uuid(), 1, 1, 0, 0)`,
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
      describeDrainLimits: () => drainLimits,
      describeElection: () => ({
        nodeId: 1,
        role: 'follower',
        coordinator: { node: 5, epoch: 7 },
        fit: true,
        peers: [],
      }),
    },
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

/** Follows `next` to the end. */
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

describe('the HTTP surface of a node', () => {
  it('says who coordinates, and the accounts', async () => {
    assert.deepEqual(await get('/v1/coordinator'), {
      nodeId: 1,
      role: 'follower',
      coordinator: { node: 5, epoch: 7 },
      fit: true,
      peers: [],
    });
    assert.deepEqual(await get('/v1/drain-limits'), drainLimits);
    const accounts = await get<{ stored: number; logs: unknown[] }>('/v1/accounts');
    assert.equal(accounts.stored, 6);
    assert.equal(accounts.logs.length, 2);
  });

  it('pages through readings without a gap or a repeat, whatever the page size', async () => {
    for (const limit of [1000, 100, 50, 7]) {
      const rows = await all<{ seq: number }>(`/v1/devices/d1/readings?limit=${limit}`);
      assert.deepEqual(
        rows.map(({ seq }) => seq),
        Array.from({ length: 250 }, (_, n) => n),
      );
    }
  });

  it('cuts an interval out, in ISO 8601 and in Unix ms', async () => {
    const rows = await all<{ seq: number }>(
      '/v1/devices/d1/readings?from=600000&to=1970-01-01T00:20:00Z&limit=4',
    );
    assert.deepEqual(
      rows.map(({ seq }) => seq),
      Array.from({ length: 10 }, (_, n) => n + 10),
    );
  });

  it('averages over buckets, paged too', async () => {
    const rows = await all<{ startMs: number; count: number; celsiusAvg: number }>(
      '/v1/devices/d1/readings?bucket=600&limit=3',
    );
    assert.equal(rows.length, 25);
    assert.ok(rows.every(({ count }) => count === 10));
    assert.ok(Math.abs((rows[1]?.celsiusAvg ?? 0) - 1.45) < 1e-5);
    assert.equal(
      rows.reduce((sum, { count }) => sum + count, 0),
      250,
    );
  });

  it('lists devices and one device', async () => {
    const devices = await all<{ deviceId: string }>('/v1/devices?limit=2');
    assert.deepEqual(
      devices.map(({ deviceId }) => deviceId),
      ['d1', 'd2', 'd3', 'd4', 'd5'],
    );
    assert.equal((await get<{ setpointCelsius: number }>('/v1/devices/d3')).setpointCelsius, 21);
    assert.equal((await app.inject({ url: '/v1/devices/none', headers })).statusCode, 404);
  });

  it('pages have a size of their own if none is asked for', async () => {
    assert.equal((await get<Page<unknown>>('/v1/devices/d1/readings')).items.length, 100);
  });

  it('lists dead letters with their raw bytes, newest first', async () => {
    const rows = await all<{ rawBase64: string }>('/v1/rejected?limit=2');
    assert.deepEqual(
      rows.map(({ rawBase64 }) => Buffer.from(rawBase64, 'base64').toString()),
      [5, 4, 3, 2, 1].map((n) => `poison ${n}`),
    );
    assert.equal((await all('/v1/rejected?limit=2&deviceId=d1')).length, 3);
  });

  it('refuses bad parameters with a reason', async () => {
    for (const url of [
      '/v1/devices?limit=0',
      '/v1/devices?limit=1001',
      '/v1/devices?cursor=x',
      '/v1/devices/d1/readings?from=never',
      `/v1/devices/${encodeURIComponent("';--")}`,
    ]) {
      const response = await app.inject({ url, headers });
      assert.equal(response.statusCode, 400, url);
      assert.ok(response.json<{ detail: string }>().detail.length > 0);
    }
    assert.equal((await app.inject({ url: '/v1/devices' })).statusCode, 401);
  });

  it('describes itself', async () => {
    const document = await get<{ paths: Record<string, unknown> }>('/openapi.json');
    for (const route of ['/v1/coordinator', '/v1/devices', '/v1/devices/{deviceId}/readings', '/v1/rejected'])
      assert.ok(route in document.paths, route);
  });
});
