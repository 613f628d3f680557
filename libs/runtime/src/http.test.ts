import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import Type from 'typebox';
import { createGatekeeper, deriveToken, subjects } from './access.ts';
import { MeshError } from './errors.ts';
import { createHealth } from './health.ts';
import { createHttpApp, requireCaller, type HttpApp } from './http.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { HttpError } from './problems.ts';
import { passedOnRequestId } from './request-context.ts';

const secret = 'a secret of at least thirty-two characters';
const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
const gatekeeper = createGatekeeper(secret, undefined);
let app: HttpApp;
let logged = '';
let log: Log;
const health = createHealth();
let unreadyReason: string | undefined;

before(async () => {
  const metrics = createMetrics({ defaults: false });
  metrics.counter('tests_total', 'Tests').inc();
  health.add('part', () => unreadyReason);
  log = createLog('test', 'info', { write: (line: string) => void (logged += line) });
  app = await createHttpApp({
    title: 'test',
    version: '1',
    log,
    health,
    metrics,
    gatekeeper,
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
  app.get('/v1/caller', { config: { access: 'public' } }, async (request) => ({
    caller: requireCaller(gatekeeper, request),
  }));
  const echoed = { body: Type.Object({ text: Type.String() }) };
  app.post('/v1/echo', { schema: echoed }, async (request) => request.body);
  app.get('/v1/broken', async () => {
    throw new Error('a password in the message: hunter2');
  });
  app.get('/v1/away', async () => {
    throw new MeshError('sql.unavailable', 'PostgreSQL is away', { retriable: true, httpStatus: 503 });
  });
  app.get('/v1/unlisted', async () => {
    throw new MeshError('inner.secret', 'hunter2', { retriable: true });
  });
  app.get('/v1/driver', async () => {
    throw Object.assign(new Error('hunter2'), { code: '23505' });
  });
  app.get('/v1/logged', async () => {
    await Promise.resolve();
    log.info({ event: 'test.worked' });
    return passedOnRequestId();
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

/** Code, parameter and allowed values of a problem document. */
function problemOf(answer: Awaited<ReturnType<typeof get>>): unknown[] {
  const { code, param, allowed } = answer.json<{ code: string; param?: string; allowed?: unknown }>();
  return [code, param, allowed];
}

/** The line of the log with this event and this id of a request. */
function lineOf(event: string, requestId: string): Record<string, unknown> | undefined {
  const lines = logged
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return lines.find((line) => line['event'] === event && line['requestId'] === requestId);
}

describe('the HTTP surface', () => {
  it('health and metrics need no key, all other routes do', async () => {
    for (const url of ['/livez', '/readyz', '/metrics', '/openapi.json'])
      assert.equal((await get(url, {})).statusCode, 200, url);
    const refused = await get('/v1/number?n=1', {});
    assert.equal(refused.statusCode, 401);
    assert.match(String(refused.headers['content-type']), /^application\/problem\+json/);
    assert.equal(refused.json<{ code: string }>().code, 'access.unknown_key');
    assert.equal((await get('/v1/number?n=1', { authorization: 'Bearer tmk_x' })).statusCode, 401);
  });

  it('the name of the scheme has no case', async () => {
    for (const scheme of ['bearer', 'BEARER', 'Bearer  '])
      assert.equal(
        (await get('/v1/number?n=1', { authorization: authorization.replace('Bearer', scheme) })).statusCode,
        200,
      );
    for (const wrong of ['Basic x', 'Bearer', authorization.replace(' ', '')])
      assert.equal((await get('/v1/number?n=1', { authorization: wrong })).statusCode, 401);
  });

  it('a route gets the name of its caller; a token of no caller is refused', async () => {
    assert.deepEqual((await get('/v1/caller')).json(), { caller: 'operator' });
    for (const headers of [{}, { authorization: 'Bearer tmk_x' }])
      assert.equal((await get('/v1/caller', headers)).statusCode, 401);
  });

  it('query parameters are converted, and an invalid one is named', async () => {
    assert.deepEqual((await get('/v1/number?n=7')).json(), { n: 7 });
    const bad = await get('/v1/number?n=none');
    assert.equal(bad.statusCode, 400);
    assert.match(bad.json<{ detail: string }>().detail, /n/);
  });

  it('a number of a query that is not written in digits is refused', async () => {
    for (const text of ['1.5', '1.0', '1e2', '0x10', 'true', '5n', '%205', '5%20', '%2B5', '5.', ''])
      assert.equal((await get(`/v1/number?n=${text}`)).statusCode, 400, text);
    assert.equal((await get('/v1/number?n=1&n=1')).statusCode, 400);
    assert.match((await get('/v1/number?n=-1')).json<{ detail: string }>().detail, /at least 1; got -1/);
  });

  it('a path that no decoder reads gets a problem document', async () => {
    for (const url of ['/v1/number/%ZZ', '/v1/number/%C0%AF', '/v1/number/%ff']) {
      const refused = await get(url);
      assert.equal(refused.statusCode, 400, url);
      assert.match(String(refused.headers['content-type']), /^application\/problem\+json/);
      assert.equal(refused.json<{ code: string }>().code, 'http.bad_url');
    }
  });

  it('bytes that are no HTTP request get a problem document that says why', async () => {
    const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const cases: [string, number, RegExp][] = [
      ['FOO / HTTP/1.1\r\n\r\n', 400, /method/i],
      [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431, /header/i],
      ['POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', 400, /content-length/i],
    ];
    for (const [bytes, status, reason] of cases) {
      const socket = connect(Number(url.port), url.hostname);
      socket.on('error', () => undefined);
      socket.write(bytes);
      const [head = '', body = ''] = (await textOf(socket)).split('\r\n\r\n');
      assert.match(head, new RegExp(`^HTTP/1.1 ${status} `));
      assert.match(head, /content-type: application\/problem\+json/);
      const { code, detail } = JSON.parse(body) as { code: string; detail: string };
      assert.equal(code, 'http.malformed');
      assert.match(detail, reason);
    }
  });

  it('a body that would be read as something else than was sent is refused', async () => {
    const post = (payload: string | Buffer) =>
      app.inject({
        method: 'POST',
        url: '/v1/echo',
        headers: { authorization, 'content-type': 'application/json' },
        payload,
      });
    assert.deepEqual((await post('{"text":"\\ud83d\\ude00"}')).json(), { text: '\u{1f600}' });
    for (const body of [
      '{"text":"a","text":"b"}',
      '{"text":"\\udc00"}',
      Buffer.from('{"text":"\xff"}', 'latin1'),
    ]) {
      const refused = await post(body);
      assert.equal(refused.statusCode, 400, String(body));
      assert.equal(refused.json<{ code: string }>().code, 'http.bad_body');
    }
    for (const body of ['', '{} {}', '{"__proto__":{}}', '['.repeat(60_000)])
      assert.equal((await post(body)).json<{ code: string }>().code, 'http.bad_body');
    assert.deepEqual((await post('x'.repeat(65 * 1024))).json<{ code: string; allowed: object }>().allowed, {
      maxLength: 65_536,
    });
    const text = {
      method: 'POST',
      url: '/v1/echo',
      headers: { authorization, 'content-type': 'text/plain' },
    } as const;
    const refused = await app.inject({ ...text, payload: 'x' });
    assert.equal(refused.statusCode, 415);
    assert.deepEqual(problemOf(refused), [
      'http.unsupported_media_type',
      'content-type',
      ['application/json'],
    ]);
  });

  it('the defaults of a query are filled in', async () => {
    assert.deepEqual((await get('/v1/page')).json(), { limit: 100 });
    assert.deepEqual((await get('/v1/page?limit=7')).json(), { limit: 7 });
  });

  it('errors become problem documents, and internals stay in the log', async () => {
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

  it('codes that are not listed for HTTP do not reach callers', async () => {
    for (const [url, status, code] of [
      ['/v1/unlisted', 503, 'http.unavailable'],
      ['/v1/driver', 500, 'http.error'],
      ['/v1/broken', 500, 'http.error'],
    ] as const) {
      const refused = await get(url);
      assert.deepEqual([refused.statusCode, problemOf(refused)[0]], [status, code]);
      assert.doesNotMatch(refused.body, /hunter2|inner|23505/);
    }
  });

  it('a problem names the page of its code', async () => {
    const { type, title, status } = (await get('/v1/nowhere')).json<Record<string, unknown>>();
    assert.deepEqual([type, title, status], ['/errors/http.not_found', 'Not Found', 404]);
    const page = await get(String(type), {});
    assert.match(String(page.headers['content-type']), /^text\/markdown/);
    assert.match(page.body, /^### http\.not_found\n\n\*\*Status 404\.\*\*/);
    assert.doesNotMatch(page.body.slice(3), /^###/m);
    assert.equal((await get('/errors/none', {})).statusCode, 404);
    assert.match((await get('/errors', {})).body, /^# Errors/);
  });

  it('a 503 says when to retry, and a deliberate answer is not logged', async () => {
    assert.equal((await get('/v1/away')).headers['retry-after'], '1');
    const lines = logged;
    const off = await get('/v1/off');
    assert.deepEqual([off.statusCode, off.headers['retry-after']], [503, '1']);
    assert.equal(logged, lines);
  });

  it('the id of a request is answered, logged, passed on and part of a problem', async () => {
    for (const name of ['x-request-id', 'request-id']) {
      const id = `mine-${name}`;
      const { headers, body } = await get('/v1/logged', { authorization, [name]: id });
      assert.deepEqual([headers['request-id'], headers['x-request-id']], [id, id]);
      assert.deepEqual(JSON.parse(body), { 'request-id': id });
      assert.ok(lineOf('test.worked', id));
    }
    const broken = await get('/v1/broken', { authorization, 'x-request-id': 'seek-me' });
    assert.equal(broken.json<{ requestId: string }>().requestId, 'seek-me');
    assert.ok(lineOf('http.failed', 'seek-me'));
    const echoed = { method: 'POST', url: '/v1/echo', payload: { text: 'x' } } as const;
    await app.inject({ ...echoed, headers: { authorization, 'x-request-id': 'write-1' } });
    const { method, route, status } = lineOf('http.answered', 'write-1') ?? {};
    assert.deepEqual([method, route, status], ['POST', '/v1/echo', 200]);
  });

  it('a malformed id of a request is replaced', async () => {
    for (const id of ['', 'a b', '"', 'x'.repeat(129)])
      assert.match(
        String((await get('/v1/page', { authorization, 'x-request-id': id })).headers['x-request-id']),
        /^[0-9a-f-]{36}$/,
      );
  });

  it('rate limits apply before the access check', async () => {
    const refused = await get('/v1/number?n=1', { 'x-too-often': '1' });
    assert.deepEqual([refused.statusCode, refused.headers['retry-after']], [429, '7']);
    assert.equal(refused.json<{ title: string }>().title, 'Too Many Requests');
  });

  it('readiness names the part that is not ready, and a stop turns it off first', async () => {
    unreadyReason = 'is full';
    assert.deepEqual((await get('/readyz', {})).json(), { ready: false, reasons: { part: 'is full' } });
    unreadyReason = undefined;
    assert.equal((await get('/readyz', {})).statusCode, 200);
    health.close();
    assert.equal((await get('/readyz', {})).statusCode, 503);
    assert.equal((await get('/livez', {})).statusCode, 200);
  });

  it('metrics have the prefix of the mesh', async () =>
    assert.match((await get('/metrics')).body, /thermomesh_tests_total 1/));
});
