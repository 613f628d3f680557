/** The proxy to the analytics nodes with stand-ins; `nodes.int.ts` has real nodes. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { readingsCallerOf } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import {
  bytesOf,
  deadNode,
  frozenNode,
  json,
  keys,
  openGateway,
  problemOf,
  secret,
  upstream,
} from '../../image-jobs/testing.ts';
import { createReadingsApi } from '../readings-api.ts';
import { readingsOptions, type ReadingsConfig } from '../settings.ts';

const defaults: ReadingsConfig = {
  ANALYTICS_TRY_TIMEOUT_MS: 15_000,
  ANALYTICS_ANSWER_TIMEOUT_MS: 30_000,
  ANALYTICS_SILENCE_TIMEOUT_MS: 30_000,
  ANALYTICS_REQUESTS_MAX: 8,
  ANALYTICS_REQUESTS_PER_CALLER_MAX: 8,
  SERVICES_PATH: '/services',
  ZOOKEEPER_SESSION_TIMEOUT_MS: 1_000,
};

/** Starts a gateway with these nodes; it asks with a key that has the scopes `read` and `admin`. */
async function gateway(urls: string[], over: Partial<ReadingsConfig> = {}) {
  const config = { ...defaults, ...(urls.length === 0 ? {} : { ANALYTICS_URLS: urls.join() }), ...over };
  const options = readingsOptions(config);
  return openGateway((deps) => ({ readings: options && createReadingsApi(options, deps) }), keys.admin.key);
}

const tokenFor = (scope: string) =>
  `Bearer ${deriveToken(secret, subjects.service(readingsCallerOf(scope)))}`;
const opening = (headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: '{"incarnation":1}',
});
const openingRoute = '/v1/devices/d1/incarnations';

describe('what a node gets', () => {
  it('the path unchanged and a token for the scope, never the caller’s key', async () => {
    const node = await upstream((request, response) => void json(response, 200, { url: request.url }));
    const { ask } = await gateway([node.url]);
    for (const route of ['/v1/devices?limit=2&cursor=a%2Fb', '/v1/devices/a%20b/readings?from=2026-01-01']) {
      const answer = await ask(route, { headers: { cookie: 'a=b', 'thermomesh-caller': 'key:carol' } });
      assert.deepEqual(await answer.json(), { url: route });
      const { headers } = node.requests.at(-1)!;
      assert.equal(headers.authorization, tokenFor('read'));
      assert.equal(headers['thermomesh-caller'], `key:${keys.admin.id}`);
      assert.equal(headers.cookie, undefined);
    }
    await (await ask(openingRoute, opening())).text();
    assert.equal(node.requests.at(-1)?.headers.authorization, tokenFor('admin'));
    assert.ok(!JSON.stringify(node.requests.map(({ rawHeaders }) => rawHeaders)).includes(keys.admin.key));
  });

  it('a caller without a key or without the scope reaches no node', async () => {
    const node = await upstream((_request, response) => void json(response, 200, {}));
    const { ask, url } = await gateway([node.url]);
    assert.equal(await problemOf(await fetch(`${url}/v1/devices`), 401), 'access.unknown_key');
    const reader = { authorization: `Bearer ${keys.read.key}` };
    assert.equal(await problemOf(await ask(openingRoute, opening(reader)), 403), 'access.scope');
    assert.equal((await ask('/v1/drain/accept-gap', { method: 'POST' })).status, 404);
    assert.equal(node.requests.length, 0);
  });

  it('a body arrives as it was sent; another content type or a large body is refused', async () => {
    const bodies: number[] = [];
    const node = await upstream((request, response) => {
      void bytesOf(request).then((bytes) => bodies.push(bytes));
      request.once('end', () => json(response, 201, {}, { location: '/x' }));
    });
    const { ask } = await gateway([node.url]);
    const answer = await ask(openingRoute, opening());
    assert.deepEqual([answer.status, answer.headers.get('location'), bodies], [201, '/x', [17]]);
    const xml = { ...opening(), headers: { 'content-type': 'text/xml' } };
    assert.equal((await ask(openingRoute, xml)).status, 415);
    assert.equal((await ask(openingRoute, { ...opening(), body: 'x'.repeat(70_000) })).status, 413);
    assert.equal(node.requests.length, 1);
  });

  it('HEAD is answered without a body, and a status of a node is returned', async () => {
    const node = await upstream(
      (_request, response) => void json(response, 404, { code: 'devices.unknown' }, { etag: '"1"' }),
    );
    const { ask } = await gateway([node.url]);
    const head = await ask('/v1/devices/d1', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('etag'), await head.text()], [404, '"1"', '']);
    assert.equal(node.requests.at(-1)?.method, 'HEAD');
  });
});

describe('nodes come and go', () => {
  it('a read passes over dead, frozen and unfit nodes', async () => {
    const node = await upstream((_request, response) => void json(response, 200, {}));
    const unfit = await upstream((_request, response) => void json(response, 503, { code: 'sql.away' }));
    const urls = [await deadNode(), await frozenNode(), unfit.url, node.url];
    const { ask } = await gateway(urls, { ANALYTICS_TRY_TIMEOUT_MS: 500 });
    for (let round = 0; round < 8; round++) assert.equal((await ask('/v1/devices')).status, 200);
    assert.ok(unfit.requests.length <= 1, 'a node that is not fit comes last for a while');
  });

  it('with no fit node the answer is 503 with Retry-After', async () => {
    const none = await gateway([await deadNode()]);
    assert.equal(await problemOf(await none.ask('/v1/devices'), 503), 'readings.no_node');
    const off = await gateway([]);
    assert.equal(await problemOf(await off.ask('/v1/rejected'), 503), 'readings.off');
    const unfit = await upstream((_request, response) =>
      response
        .writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '1' })
        .end('{"code":"http.unavailable"}'),
    );
    const cutOff = await gateway([unfit.url, await deadNode()]);
    assert.equal(await problemOf(await cutOff.ask('/v1/devices'), 503), 'http.unavailable');
  });

  it('a write goes to a second node only with an Idempotency-Key', async () => {
    const dying = await upstream((request) => void request.socket.destroy());
    const node = await upstream((_request, response) => void json(response, 201, {}));
    const { ask } = await gateway([dying.url, node.url]);
    assert.equal(await problemOf(await ask(openingRoute, opening()), 503), 'readings.interrupted');
    assert.equal(node.requests.length, 0);
    const keyed = await gateway([dying.url, node.url]);
    const answer = await keyed.ask(openingRoute, opening({ 'idempotency-key': 'mine-1' }));
    assert.equal(answer.status, 201);
    assert.equal(node.requests.at(-1)?.headers['idempotency-key'], 'mine-1');
    // A node that cannot have seen the request is no reason to give up.
    const refusing = await gateway([await deadNode(), node.url]);
    assert.equal((await refusing.ask(openingRoute, opening())).status, 201);
  });

  it('a node that refuses the gateway’s token means 503 for the caller, not 401', async () => {
    const node = await upstream((_request, response) => void json(response, 401, {}));
    const { ask } = await gateway([node.url]);
    assert.equal(await problemOf(await ask('/v1/devices'), 503), 'readings.gateway_refused');
  });
});

describe('limits', () => {
  it('requests beyond the limits are refused until one has ended', async () => {
    const waiting: ServerResponse[] = [];
    const node = await upstream((_request, response) => void waiting.push(response));
    const { ask } = await gateway([node.url], {
      ANALYTICS_REQUESTS_MAX: 3,
      ANALYTICS_REQUESTS_PER_CALLER_MAX: 2,
    });
    const other = { headers: { authorization: `Bearer ${keys.read.key}` } };
    const asked = [ask('/v1/devices'), ask('/v1/devices')];
    await until('two at the node', () => waiting.length === 2);
    assert.equal(await problemOf(await ask('/v1/devices'), 429), 'readings.too_many_of_caller');
    asked.push(ask('/v1/devices', other));
    await until('three at the node', () => waiting.length === 3);
    assert.equal(await problemOf(await ask('/v1/devices', other), 503), 'readings.too_many');
    for (const response of waiting) json(response, 200, {});
    for (const answer of asked) assert.deepEqual(await (await answer).json(), {});
    const again = ask('/v1/devices');
    await until('the next one', () => waiting.length === 4);
    json(waiting[3]!, 200, {});
    assert.equal((await again).status, 200);
  });

  it('a caller that goes away frees its place and ends the request at the node', async () => {
    let closed = false;
    const node = await upstream((request) => void request.socket.once('close', () => (closed = true)));
    const { ask } = await gateway([node.url], {
      ANALYTICS_REQUESTS_MAX: 1,
      ANALYTICS_REQUESTS_PER_CALLER_MAX: 1,
    });
    const gone = new AbortController();
    const asked = ask('/v1/devices', { signal: gone.signal });
    await until('the request', () => node.requests.length === 1);
    gone.abort();
    await assert.rejects(asked);
    await until('the end at the node', () => closed);
  });
});
