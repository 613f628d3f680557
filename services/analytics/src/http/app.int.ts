import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { timesOfYears, type DrainLimitsView } from '@thermomesh/contracts';
import {
  createApiKey,
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
import { createDataUpkeep } from '../adapters/pg-data-upkeep.ts';
import { createDeviceIncarnations } from '../adapters/pg-device-incarnations.ts';
import { createTelemetryQueries } from '../adapters/pg-telemetry-queries.ts';
import { analyticsError } from '../core/errors.ts';
import { createAnalyticsApp } from './app.ts';

const secret = 'a secret of at least thirty-two characters';
const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
const drainLimits: DrainLimitsView = {
  limits: { batchRowsMax: 500, batchBytesMax: 4096, batchLingerMs: 3 },
  source: 'zookeeper',
  version: 2,
  fresh: true,
  refused: null,
};
const waiting = { log: '00112233-4455-6677-8899-aabbccddeeff', fromLogId: 5, toLogId: 9, messages: 4 };
let database: TestDatabase;
let pool: SqlPool;
let app: HttpApp;
let keysFolder: string;
let readKey: string;

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
  // 250 readings of one device, one a minute from 1970 on, and the latest state of five devices.
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
  keysFolder = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-keys-'));
  const keysFile = path.join(keysFolder, 'api-keys.ndjson');
  readKey = (await createApiKey(keysFile, ['read'])).key;
  app = await createAnalyticsApp(
    {
      log: createLog('test', 'silent'),
      health: createHealth(),
      metrics: createMetrics({ defaults: false }),
      gatekeeper: createGatekeeper(secret, keysFile),
    },
    {
      queries: createTelemetryQueries(pool),
      incarnations: createDeviceIncarnations(pool),
      upkeep: createDataUpkeep(pool),
      times: timesOfYears(1970, 2099),
      describeDrainLimits: () => drainLimits,
      describeElection: () => ({
        nodeId: 1,
        role: 'follower',
        coordinator: { node: 5, epoch: 7 },
        fit: true,
        peers: [],
      }),
      replay: async ({ id, raw }) => {
        if (raw.toString() === 'poison 2') throw analyticsError('drain.not_coordinator', 'not this node');
        return { id, outcome: 'rejected', reason: 'not_json', detail: raw.toString() };
      },
      acceptGap: async (gap) => {
        if (gap.toLogId !== waiting.toLogId) throw analyticsError('drain.no_such_gap', 'another gap');
        return waiting;
      },
    },
  );
});

after(async () => {
  await app.close();
  await rm(keysFolder, { recursive: true });
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

describe('the HTTP surface of a node', () => {
  it('every node shows the coordinator, the drain limits and the accounts', async () => {
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

  it('only the gap at which the drain waits is accepted, and by name', async () => {
    const post = async (payload: object) =>
      app.inject({ method: 'POST', url: '/v1/drain/accept-gap', headers, payload });
    const { log, fromLogId, toLogId } = waiting;
    const accepted = await post({ log, fromLogId, toLogId });
    assert.deepEqual([accepted.statusCode, accepted.json()], [200, { accepted: waiting }]);
    const other = await post({ log, fromLogId, toLogId: 10 });
    assert.deepEqual([other.statusCode, other.json<{ code: string }>().code], [409, 'drain.no_such_gap']);
    for (const wrong of [
      {},
      { log, fromLogId },
      { log, fromLogId: -1, toLogId },
      { log: 1, fromLogId, toLogId },
    ])
      assert.equal((await post(wrong)).statusCode, 400);
  });

  it('pages of readings have no gap and no repeat, whatever the page size', async () => {
    for (const limit of [1000, 100, 50, 7]) {
      const rows = await all<{ seq: number }>(`/v1/devices/d1/readings?limit=${limit}`);
      assert.deepEqual(
        rows.map(({ seq }) => seq),
        Array.from({ length: 250 }, (_, n) => n),
      );
    }
  });

  it('an interval of readings may be given in ISO 8601 and in Unix ms', async () => {
    const rows = await all<{ seq: number }>(
      '/v1/devices/d1/readings?from=600000&to=1970-01-01T00:20:00Z&limit=4',
    );
    assert.deepEqual(
      rows.map(({ seq }) => seq),
      Array.from({ length: 10 }, (_, n) => n + 10),
    );
  });

  it('averages over buckets are paged too', async () => {
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

  it('devices are listed, and one device is found by its id', async () => {
    const devices = await all<{ deviceId: string }>('/v1/devices?limit=2');
    assert.deepEqual(
      devices.map(({ deviceId }) => deviceId),
      ['d1', 'd2', 'd3', 'd4', 'd5'],
    );
    assert.equal((await get<{ setpointCelsius: number }>('/v1/devices/d3')).setpointCelsius, 21);
    assert.equal((await app.inject({ url: '/v1/devices/none', headers })).statusCode, 404);
  });

  it('a page without a limit has the default size', async () => {
    assert.equal((await get<Page<unknown>>('/v1/devices/d1/readings')).items.length, 100);
  });

  it('dead letters are listed newest first with their raw bytes', async () => {
    const rows = await all<{ rawBase64: string }>('/v1/rejected?limit=2');
    assert.deepEqual(
      rows.map(({ rawBase64 }) => Buffer.from(rawBase64, 'base64').toString()),
      [5, 4, 3, 2, 1].map((n) => `poison ${n}`),
    );
    assert.equal((await all('/v1/rejected?limit=2&deviceId=d1')).length, 3);
  });

  it('dead letters carry size and hash of the whole payload', async () => {
    const [newest] = await all<{ rawBytes: number; rawSha256: string }>('/v1/rejected?limit=9');
    const expected = createHash('sha256').update('poison 5').digest('hex');
    assert.deepEqual([newest?.rawBytes, newest?.rawSha256], [8, expected]);
  });

  it('rejections are counted by device and reason, in pages', async () => {
    const summary = await all<{ deviceId: string; reason: string; count: number }>(
      '/v1/rejected/summary?limit=1',
    );
    assert.deepEqual(
      summary.map(({ deviceId, reason, count }) => [deviceId, reason, count]),
      [
        ['d0', 'not_json', 2],
        ['d1', 'not_json', 3],
      ],
    );
    for (const url of ['/v1/rejected/summary?deviceId=d1&limit=9', '/v1/devices/d1/rejections?limit=9']) {
      const [one, ...others] = await all<{ firstReceivedAtMs: number; lastReceivedAtMs: number }>(url);
      assert.ok(one !== undefined && one.firstReceivedAtMs > 0);
      assert.equal(one.firstReceivedAtMs, one.lastReceivedAtMs);
      assert.deepEqual(others, []);
    }
    assert.deepEqual(await all('/v1/devices/d7/rejections?limit=9'), []);
  });

  it('an operator opens incarnations, and a repeated request opens no second one', async () => {
    const open = async (device: string, body?: object, key?: string) => {
      const answer = await app.inject({
        method: 'POST',
        url: `/v1/devices/${device}/incarnations`,
        headers: key === undefined ? headers : { ...headers, 'idempotency-key': key },
        ...(body === undefined ? {} : { payload: body }),
      });
      const { incarnation, code } = answer.json<{ incarnation?: number; code?: string }>();
      return [answer.statusCode, incarnation ?? code];
    };
    assert.deepEqual(await open('new', undefined, 'a'), [201, 1]);
    assert.deepEqual(await open('new', {}, 'a'), [200, 1]);
    assert.deepEqual(await open('new'), [201, 2]);
    assert.deepEqual(await open('new', { incarnation: 7 }), [201, 7]);
    assert.deepEqual(await open('new', { incarnation: 7 }), [200, 7]);
    assert.deepEqual(await open('new', { incarnation: 5 }), [409, 'devices.incarnation_too_low']);
    assert.deepEqual(await open('new', { incarnation: 9 }, 'a'), [422, 'devices.key_reused']);
    assert.deepEqual(await open('new', {}, 'a b'), [400, 'devices.bad_key']);
    assert.deepEqual(await open('other', {}, 'a'), [201, 1]);
    assert.deepEqual(await open('end', { incarnation: Number.MAX_SAFE_INTEGER }), [201, 2 ** 53 - 1]);
    assert.deepEqual(await open('end'), [409, 'devices.no_incarnation_left']);
    for (const bad of [0, -1, 1.5, 2 ** 53, '1', null])
      assert.equal((await open('new', { incarnation: bad }))[0], 400, String(bad));
    assert.equal((await open('new', { incarnaton: 9 }))[0], 400);
    const listed = await all<{ incarnation: number }>('/v1/devices/new/incarnations?limit=2');
    assert.deepEqual(
      listed.map(({ incarnation }) => incarnation),
      [1, 2, 7],
    );
    const stranger = await app.inject({ method: 'POST', url: '/v1/devices/new/incarnations' });
    assert.equal(stranger.statusCode, 401);
  });

  it('pages show the readings of every incarnation, also those of one instant', async () => {
    await pool.query(
      `INSERT INTO readings (device_id, incarnation, seq, measured_at, received_at, celsius, epoch, committed_at)
       SELECT 'lives', n / 3, n % 3, from_unix_ms(1000), now(), 20, 1, now() FROM generate_series(0, 8) n`,
    );
    for (const limit of [1, 2, 4, 9]) {
      const rows = await all<{ incarnation: number; seq: number }>(
        `/v1/devices/lives/readings?limit=${limit}`,
      );
      assert.deepEqual(
        rows.map(({ incarnation, seq }) => incarnation * 3 + seq),
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
      );
    }
  });

  it('rejected messages are filtered by reason and time', async () => {
    assert.equal((await all('/v1/rejected?limit=9&reason=not_json')).length, 5);
    assert.equal((await all('/v1/rejected?limit=9&reason=bad_seq')).length, 0);
    assert.equal((await all('/v1/rejected?limit=9&until=2001-01-01T00:00:00Z')).length, 0);
    assert.equal((await all('/v1/rejected?limit=9&since=2001-01-01T00:00:00Z&deviceId=d1')).length, 3);
  });

  it('operators replay and delete rejected messages, and erase a device', async () => {
    const ask = async (method: 'POST' | 'DELETE', url: string) => {
      const answer = await app.inject({ method, url, headers });
      const { code, ...body } = answer.json<Record<string, unknown>>();
      return [answer.statusCode, code ?? body];
    };
    const [four, two] = (
      await all<{ id: number; rawBase64: string }>('/v1/rejected?limit=9&deviceId=d0')
    ).map(({ id }) => id);
    assert.deepEqual(await ask('POST', `/v1/rejected/${four}/replay`), [
      200,
      { id: four, outcome: 'rejected', reason: 'not_json', detail: 'poison 4' },
    ]);
    assert.deepEqual(await ask('POST', `/v1/rejected/${two}/replay`), [409, 'drain.not_coordinator']);
    await pool.query('UPDATE rejected_readings SET raw_bytes = 9999 WHERE id = $1', [two]);
    assert.deepEqual(await ask('POST', `/v1/rejected/${two}/replay`), [409, 'rejected.cut']);
    assert.deepEqual(await ask('POST', '/v1/rejected/999999/replay'), [404, 'rejected.unknown']);
    assert.deepEqual(await ask('DELETE', `/v1/rejected/${two}`), [200, { deleted: 1, complete: true }]);
    assert.deepEqual(await ask('DELETE', `/v1/rejected/${two}`), [404, 'rejected.unknown']);
    assert.deepEqual(await ask('DELETE', '/v1/rejected'), [400, 'rejected.no_filter']);
    assert.deepEqual(await ask('DELETE', '/v1/rejected?deviceId=d0'), [200, { deleted: 1, complete: true }]);
    const [counted] = await all<object>('/v1/devices/d0/rejections?limit=9');
    assert.deepEqual({ count: 2, deleted: 2, replayed: 0, ...counted }, counted);
    await pool.query(
      `INSERT INTO readings (device_id, seq, measured_at, received_at, celsius, epoch, committed_at)
       SELECT 'd5', n, now(), now(), 20, 1, now() FROM generate_series(1, 3) n`,
    );
    const gone = { deviceId: 'd5', readings: 3, rejections: 0, complete: true };
    assert.deepEqual(await ask('DELETE', '/v1/devices/d5'), [200, gone]);
    assert.deepEqual(await ask('DELETE', '/v1/devices/d5'), [404, 'devices.unknown']);
    const { items } = await get<{ items: object[] }>('/v1/devices/d5/erased');
    assert.deepEqual(items, [{ incarnation: 0, reason: null, erased: 3, ...items[0] }]);
    for (const [method, url] of [
      ['DELETE', '/v1/devices/d1'],
      ['DELETE', '/v1/rejected?deviceId=d1'],
      ['POST', '/v1/rejected/1/replay'],
    ] as const) {
      const read = { authorization: `Bearer ${readKey}` };
      assert.equal((await app.inject({ method, url, headers: read })).statusCode, 403, url);
    }
  });

  it('invalid parameters are refused with a reason', async () => {
    for (const url of [
      '/v1/devices?limit=0',
      '/v1/devices?limit=1001',
      '/v1/devices?cursor=x',
      '/v1/devices/d1/readings?from=never',
      // Each was once read as some other instant.
      ...['2026-02-30', '1.5', '1%20Jan', '-1', '2026-05-31T23:30:00', '1e3'].flatMap((time) =>
        ['from', 'to'].map((name) => `/v1/devices/d1/readings?${name}=${time}`),
      ),
      // Cursors that decode, and that no page ended with.
      ...[['\0'], [0.5], [1e300], [-1], [], ['d1', 1]].flatMap((key) => {
        const cursor = Buffer.from(JSON.stringify(key)).toString('base64url');
        const lists = [
          '/v1/devices?',
          '/v1/devices/d1/readings?',
          '/v1/devices/d1/readings?bucket=60&',
          '/v1/rejected?',
          '/v1/rejected/summary?',
          '/v1/devices/d1/rejections?',
        ];
        return lists.map((list) => `${list}cursor=${cursor}`);
      }),
      `/v1/devices/${encodeURIComponent("';--")}`,
      // A plus that became a space, numbers that were rounded, and names that were overlooked.
      '/v1/devices/d1/readings?from=2026-01-01T00:00:00+02:00',
      ...['1.5', '0x10', 'true', '%205', ''].flatMap((text) => [
        `/v1/devices?limit=${text}`,
        `/v1/devices/d1/readings?bucket=${text}`,
      ]),
      ...['devices', 'devices/d1/readings', 'rejected', 'devices/d1/incarnations'].flatMap((list) => [
        `/v1/${list}?form=0`,
        `/v1/${list}?limit=1&limit=2`,
      ]),
    ]) {
      const response = await app.inject({ url, headers });
      assert.equal(response.statusCode, 400, url);
      assert.ok(response.json<{ detail: string }>().detail.length > 0);
    }
    assert.equal((await app.inject({ url: '/v1/devices' })).statusCode, 401);
  });

  it('the highest cursors and an interval that ends before it begins give empty pages', async () => {
    const forged = (key: unknown[]) => Buffer.from(JSON.stringify(key)).toString('base64url');
    const highest = Number.MAX_SAFE_INTEGER;
    const instants = forged([highest, highest, highest]);
    for (const list of [
      `devices?cursor=${forged(['\u{10ffff}'])}`,
      `devices/d1/readings?cursor=${instants}`,
      `devices/d1/readings?bucket=2678400&cursor=${forged([highest])}`,
      `devices/d1/incarnations?cursor=${forged([highest])}`,
      `rejected/summary?cursor=${forged(['\u{10ffff}', '\u{10ffff}'])}`,
      'devices/d1/readings?from=1767312000001&to=1767312000000',
    ])
      assert.deepEqual(await get(`/v1/${list}`), { items: [], next: null }, list);
  });

  it('the OpenAPI document lists the routes', async () => {
    const document = await get<{ paths: Record<string, unknown> }>('/openapi.json');
    for (const route of [
      '/v1/coordinator',
      '/v1/devices',
      '/v1/devices/{deviceId}/readings',
      '/v1/rejected',
      '/v1/rejected/summary',
      '/v1/devices/{deviceId}/rejections',
    ])
      assert.ok(route in document.paths, route);
  });
});
