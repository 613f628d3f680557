import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Type from 'typebox';
import { createGatekeeper, deriveToken, subjects } from './access.ts';
import { MeshError } from './errors.ts';
import { createHealth } from './health.ts';
import { createHttpApp, HttpError, type HttpApp } from './http.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';

const secret = 'a secret of at least thirty-two characters';
const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
let app: HttpApp;
let logged = '';
const health = createHealth();
let fault: string | undefined;

before(async () => {
  const metrics = createMetrics({ defaults: false });
  metrics.counter('tests_total', 'Tests').inc();
  health.add('part', () => fault);
  const log = createLog('test', 'info', { write: (line: string) => void (logged += line) });
  app = await createHttpApp({
    title: 'test',
    version: '1',
    log,
    health,
    metrics,
    gatekeeper: createGatekeeper(secret, undefined),
    beforeAccess: async (early) => {
      early.addHook('onRequest', async (request) => {
        if (request.headers['x-too-often'] !== undefined)
          throw new HttpError(429, 'test.too_often', 'no', { retryAfterSeconds: 7 });
      });
    },
  });
  app.get(
    '/v1/number',
    { schema: { querystring: Type.Object({ n: Type.Integer({ minimum: 1 }) }) } },
    async ({ query }) => ({ n: query.n }),
  );
  const query = Type.Object({ limit: Type.Integer({ default: 100, minimum: 1 }) });
  app.get('/v1/page', { schema: { querystring: query } }, async ({ query: { limit } }) => ({ limit }));
  app.get('/v1/broken', async () => {
    throw new Error('a password in the message: hunter2');
  });
  app.get('/v1/away', async () => {
    throw new MeshError('sql.unavailable', 'PostgreSQL is away', { retriable: true });
  });
  app.get('/v1/off', async () => {
    throw new HttpError(503, 'test.off', 'switched off');
  });
  app.get('/v1/conflict', async () => {
    throw new HttpError(409, 'test.conflict', 'no');
  });
});
after(() => app.close());

const get = (url: string, headers: Record<string, string> = { authorization }) =>
  app.inject({ url, headers });

describe('the HTTP surface', () => {
  it('health and metrics need no key, everything else does', async () => {
    for (const url of ['/livez', '/readyz', '/metrics', '/openapi.json'])
      assert.equal((await get(url, {})).statusCode, 200, url);
    const refused = await get('/v1/number?n=1', {});
    assert.equal(refused.statusCode, 401);
    assert.match(String(refused.headers['content-type']), /^application\/problem\+json/);
    assert.equal(refused.json<{ code: string }>().code, 'access.unknown_key');
    assert.equal((await get('/v1/number?n=1', { authorization: 'Bearer tmk_x' })).statusCode, 401);
  });

  it('checks and converts parameters, and says what is wrong', async () => {
    assert.deepEqual((await get('/v1/number?n=7')).json(), { n: 7 });
    const bad = await get('/v1/number?n=none');
    assert.equal(bad.statusCode, 400);
    assert.match(bad.json<{ detail: string }>().detail, /n/);
  });

  it('fills in the defaults of a query', async () => {
    assert.deepEqual((await get('/v1/page')).json(), { limit: 100 });
    assert.deepEqual((await get('/v1/page?limit=7')).json(), { limit: 7 });
  });

  it('errors become problem documents; internals stay in the log', async () => {
    const broken = await get('/v1/broken');
    assert.equal(broken.statusCode, 500);
    assert.doesNotMatch(broken.body, /hunter2/);
    assert.match(logged, /http\.failed/);
    assert.deepEqual(
      (await get('/v1/away')).json<{ status: number; code: string }>().code,
      'sql.unavailable',
    );
    assert.equal((await get('/v1/away')).statusCode, 503);
    assert.equal((await get('/v1/conflict')).statusCode, 409);
    assert.equal((await get('/v1/nowhere')).statusCode, 404);
  });

  it('what may be tried again says when; a deliberate answer is no line in the log', async () => {
    assert.equal((await get('/v1/away')).headers['retry-after'], '1');
    const lines = logged;
    const off = await get('/v1/off');
    assert.deepEqual([off.statusCode, off.headers['retry-after']], [503, '1']);
    assert.equal(logged, lines);
  });

  it('limits come before access: a stranger that asks too often is not asked who he is', async () => {
    const refused = await get('/v1/number?n=1', { 'x-too-often': '1' });
    assert.deepEqual([refused.statusCode, refused.headers['retry-after']], [429, '7']);
    assert.equal(refused.json<{ title: string }>().title, 'Too Many Requests');
  });

  it('readiness names the part that is not ready, and goes false first on a stop', async () => {
    fault = 'is full';
    assert.deepEqual((await get('/readyz', {})).json(), { ready: false, reasons: { part: 'is full' } });
    fault = undefined;
    assert.equal((await get('/readyz', {})).statusCode, 200);
    health.close();
    assert.equal((await get('/readyz', {})).statusCode, 503);
    assert.equal((await get('/livez', {})).statusCode, 200);
  });

  it('metrics carry the mesh’s prefix', async () =>
    assert.match((await get('/metrics')).body, /thermomesh_tests_total 1/));
});
