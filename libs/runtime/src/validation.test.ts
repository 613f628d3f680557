import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { isDocument, ProblemDocument } from '@thermomesh/contracts';
import Type from 'typebox';
import { createGatekeeper, deriveToken, subjects } from './access.ts';
import { createHealth } from './health.ts';
import { createHttpApp, type HttpApp } from './http.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';

const secret = 'a secret of at least thirty-two characters';
const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
let app: HttpApp;

const Status = Type.Union(['pending', 'charged', 'declined'].map((each) => Type.Literal(each)));
const Body = Type.Object({
  amountMinor: Type.Integer({ minimum: 1, maximum: 9 }),
  currency: Type.String({ enum: ['EUR', 'USD'] }),
  paymentToken: Type.Optional(Type.String({ pattern: '^tok_' })),
  many: Type.Optional(Type.String({ enum: Array.from({ length: 20 }, (_, n) => `v${n}`) })),
  note: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 5 }), Type.Null()])),
  next: Type.Optional(Type.Array(Type.Boolean(), { maxItems: 2 })),
  rates: Type.Optional(Type.Object({ drop: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })) })),
  open: Type.Optional(Type.Object({}, { additionalProperties: true })),
});

before(async () => {
  app = await createHttpApp({
    title: 'test',
    version: '1',
    log: createLog('test', 'silent'),
    health: createHealth(),
    metrics: createMetrics({ defaults: false }),
    gatekeeper: createGatekeeper(secret, undefined),
  });
  app.get(
    '/v1/list',
    {
      schema: {
        querystring: Type.Object({
          limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
          from: Type.Optional(Type.String()),
          status: Type.Optional(Status),
        }),
      },
    },
    async ({ query }) => query,
  );
  app.get('/v1/none', async () => ({}));
  app.get('/v1/any', { config: { anyQuery: true } }, async ({ query }) => query);
  app.post('/v1/order', { schema: { body: Body } }, async ({ body }) => body);
  app.get(
    '/v1/one/:id',
    { schema: { params: Type.Object({ id: Type.String({ pattern: '^[a-z]+$' }) }) } },
    async () => ({}),
  );
});

async function problem(url: string, payload?: unknown): Promise<ProblemDocument> {
  const answer =
    payload === undefined
      ? await app.inject({ url, headers })
      : await app.inject({
          method: 'POST',
          url,
          headers: { ...headers, 'content-type': 'application/json' },
          payload: JSON.stringify(payload),
        });
  assert.equal(answer.statusCode, 400, answer.body);
  const document: unknown = answer.json();
  assert.ok(isDocument(ProblemDocument, document));
  return document;
}

const order = { amountMinor: 1, currency: 'EUR' };

describe('a refused request', () => {
  it('names the parameter, what was given and what is allowed', async () => {
    const range = await problem('/v1/list?limit=0x10');
    assert.equal(range.detail, 'limit must be a whole number from 1 to 1000; got "0x10"');
    assert.deepEqual(
      [range.code, range.param, range.in, range.allowed],
      ['http.invalid_parameter', 'limit', 'query', { minimum: 1, maximum: 1000 }],
    );
    const path = await problem('/v1/one/A');
    assert.deepEqual([path.param, path.in, path.allowed], ['id', 'path', { pattern: '^[a-z]+$' }]);
  });

  it('lists the values of an enumeration once', async () => {
    const refused = await problem('/v1/list?status=lost');
    assert.equal(refused.detail, 'status must be one of "pending", "charged", "declined"; got "lost"');
    assert.deepEqual([refused.allowed, refused.errors], [['pending', 'charged', 'declined'], undefined]);
    const many = await problem('/v1/order', { ...order, many: 'w' });
    assert.equal(many.detail, 'many must be one of the 20 values in "allowed"; got "w"');
    assert.equal((many.allowed as unknown[]).length, 20);
  });

  it('refuses unknown query parameters and says which was meant', async () => {
    const slip = await problem('/v1/list?form=1');
    assert.equal(slip.detail, 'unknown query parameter "form": did you mean "from"?');
    assert.deepEqual(
      [slip.code, slip.param, slip.allowed],
      ['http.unknown_parameter', 'form', ['limit', 'from', 'status']],
    );
    assert.match((await problem('/v1/list?colour=1')).detail ?? '', /there are limit, from, status$/);
    assert.match((await problem('/v1/none?x=1')).detail ?? '', /there is none here$/);
    assert.equal((await app.inject({ url: '/v1/any?x=1', headers })).statusCode, 200);
    assert.match((await problem('/v1/list?limit=1&limit=2')).detail ?? '', /^limit is given 2 times/);
  });

  it('names the path of a wrong, missing or unknown field of a body', async () => {
    const cases: [object | null | string, string | undefined, RegExp][] = [
      [{ ...order, amountMinr: 2 }, 'amountMinr', /unknown field "amountMinr": did you mean "amountMinor"\?/],
      [{ currency: 'EUR' }, 'amountMinor', /^amountMinor is missing: it must be a whole number from 1 to 9$/],
      [{ ...order, rates: { drop: 2 } }, 'rates.drop', /^rates\.drop must be a number from 0 to 1; got 2$/],
      [{ ...order, rates: { dorp: 1 } }, 'rates.dorp', /did you mean "drop"/],
      [{ ...order, next: [true, 'x'] }, 'next[1]', /^next\[1\] must be one of true, false; got "x"$/],
      [{ ...order, next: [true, true, true] }, 'next', /^next must be a list of at most 2 items; got a list/],
      [{ ...order, note: '' }, 'note', /^note must be text of 1 to 5 characters; got ""$/],
      [{ ...order, note: 7 }, 'note', /^note must be text of 1 to 5 characters or null; got 7$/],
      [null, undefined, /^the body must be an object; got null$/],
      ['text', undefined, /^the body must be an object; got "text"$/],
    ];
    for (const [body, param, detail] of cases) {
      const refused = await problem('/v1/order', body);
      assert.match(refused.detail ?? '', detail);
      assert.deepEqual([refused.param, refused.in], [param, 'body']);
    }
    const both = await problem('/v1/order', { amountMinor: 0, currency: 'X' });
    assert.equal(both.errors?.length, 2);
    const fine = { ...order, note: null, next: [], open: { any: 1 }, rates: {} };
    const answer = await app.inject({ method: 'POST', url: '/v1/order', headers, payload: fine });
    assert.equal(answer.statusCode, 200);
  });

  it('repeats what was given bounded and visible, and no secret', async () => {
    const long = await problem('/v1/order', { ...order, currency: 'x'.repeat(5_000) });
    assert.match(long.detail ?? '', /… \(5000 characters\)$/);
    assert.ok((long.detail ?? '').length < 200);
    const hidden = await problem('/v1/order', { ...order, currency: '\u202e\n"' });
    assert.match(hidden.detail ?? '', /got "\\u\{202e\}\\n\\""$/);
    const secretive = await problem('/v1/order', { ...order, paymentToken: '4242 4242 4242 4242' });
    assert.doesNotMatch(JSON.stringify(secretive), /4242/);
  });

  it('is described in OpenAPI: bodies are closed', async () => {
    const document = (await app.inject({ url: '/openapi.json' })).json<{
      paths: Record<string, Record<string, { requestBody: { content: Record<string, { schema: object }> } }>>;
    }>();
    const schema = document.paths['/v1/order']?.['post']?.requestBody.content['application/json']?.schema;
    assert.equal((schema as { additionalProperties: boolean }).additionalProperties, false);
  });
});
