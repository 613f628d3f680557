import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import {
  deadNode,
  form,
  frozenNode,
  gateway,
  id,
  impatient,
  json,
  keys,
  problemOf,
  secret,
  upstream,
} from '../testing.ts';

describe('the way to the equalizer', () => {
  it('each route is passed to a node in the name of the key’s owner', async () => {
    const node = await upstream((request, response) => {
      const seen = { method: request.method, url: request.url };
      json(response, request.method === 'DELETE' ? 202 : 200, seen, { 'x-node': 'one', location: '/x' });
    });
    const { ask } = await gateway([node.url]);
    for (const [method, route] of [
      ['GET', '/v1/jobs'],
      ['GET', `/v1/jobs/${id}`],
      ['DELETE', `/v1/jobs/${id}`],
      ['GET', `/v1/jobs/${id}/events`],
      ['GET', `/v1/jobs/${id}/result`],
    ] as const) {
      const response = await ask(route, {
        method,
        headers: { 'last-event-id': '7', cookie: 'a=b', 'x-request-id': 'mine' },
      });
      assert.equal(response.status, method === 'DELETE' ? 202 : 200);
      assert.deepEqual(await response.json(), { method, url: route });
      assert.equal(response.headers.get('x-node'), 'one');
      const { headers } = node.requests.at(-1)!;
      assert.equal(headers['last-event-id'], '7');
      assert.equal(headers['thermomesh-caller'], `key:${keys.images.id}`);
      assert.equal(headers.authorization, `Bearer ${deriveToken(secret, subjects.service('gateway'))}`);
      assert.equal(headers.cookie, undefined);
      assert.equal(headers['request-id'], 'mine');
      assert.equal(response.headers.get('x-request-id'), 'mine');
    }
  });

  it('a caller cannot act as another caller or reach another route of the node', async () => {
    const node = await upstream((request, response) => void json(response, 200, { url: request.url }));
    const { url, ask } = await gateway([node.url]);
    await (await ask('/v1/jobs', { headers: { 'thermomesh-caller': 'key:carol' } })).json();
    assert.equal(node.requests.at(-1)?.headers['thermomesh-caller'], `key:${keys.images.id}`);
    const anonymous = await fetch(`${url}/v1/jobs`);
    assert.equal(await problemOf(anonymous, 401), 'access.unknown_key');
    const other = await ask('/v1/jobs', { headers: { authorization: `Bearer ${keys.other}` } });
    assert.equal(await problemOf(other, 403), 'access.scope');
    const before = node.requests.length;
    for (const route of [`/v1/jobs/${id}/../../../metrics`, '/v1/jobs/..%2f..%2fmetrics', '/v1/jobs/x/y']) {
      const socket = net.connect(Number(new URL(url).port), '127.0.0.1');
      const line = `GET ${route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys.images.key}\r\n`;
      socket.write(`${line}connection: close\r\n\r\n`);
      let answer = '';
      for await (const chunk of socket) answer += String(chunk);
      assert.match(answer, /^HTTP\/1.1 40[04] /, route);
    }
    assert.equal(node.requests.length, before);
  });

  it('an upload that is no form is refused before a node is asked', async () => {
    const node = await upstream((_request, response) => void json(response, 201, {}));
    const { ask } = await gateway([node.url]);
    const image = { method: 'POST', body: Buffer.alloc(10), headers: { 'content-type': 'image/png' } };
    assert.equal(await problemOf(await ask('/v1/jobs', image), 415), 'http.unsupported_media_type');
    assert.equal(node.requests.length, 0);
  });

  it('an answer without a body is returned without a body', async () => {
    const node = await upstream((_request, response) => void response.writeHead(204).end());
    const { ask } = await gateway([node.url]);
    assert.equal((await ask(`/v1/jobs/${id}/events`)).status, 204);
  });

  it('without an equalizer the job routes answer 503 and other routes work', async () => {
    const { ask } = await gateway([]);
    assert.equal(await problemOf(await ask('/v1/jobs'), 503), 'jobs.off');
    assert.equal(await problemOf(await ask('/v1/jobs', { method: 'POST', body: 'x' }), 503), 'jobs.off');
    assert.equal((await ask('/livez')).status, 200);
  });

  it('a node that refuses the gateway’s token means 503 for the caller, not 401', async () => {
    const node = await upstream((_request, response) => void json(response, 401, {}));
    const { ask } = await gateway([node.url]);
    assert.equal(await problemOf(await ask('/v1/jobs'), 503), 'jobs.gateway_refused');
  });
});

describe('nodes come and go', () => {
  it('dead and frozen nodes are skipped; without any other the answer is 503', async () => {
    const node = await upstream((_request, response) => void json(response, 200, {}));
    const dead = [await deadNode(), await frozenNode()];
    const some = await gateway([...dead, node.url], impatient);
    for (let round = 0; round < 4; round++) assert.equal((await some.ask('/v1/jobs')).status, 200);
    const none = await gateway(dead, impatient);
    assert.equal(await problemOf(await none.ask('/v1/jobs'), 503), 'jobs.no_equalizer');
    const post = { method: 'POST', body: Buffer.alloc(10_000), headers: { 'content-type': form } };
    assert.equal(await problemOf(await none.ask('/v1/jobs', post), 503), 'jobs.no_equalizer');
  });

  it('a kept connection that has died costs no caller an answer', async () => {
    const node = await upstream((_request, response) => void json(response, 200, {}));
    const other = await upstream((_request, response) => void json(response, 200, {}));
    const { ask } = await gateway([node.url, other.url]);
    for (let round = 0; round < 6; round++) {
      assert.equal((await ask('/v1/jobs')).status, 200);
      node.server.closeAllConnections();
    }
  });
});

describe('events', () => {
  it('each event is passed on at once, and the stream ends with the caller', async () => {
    let left = false;
    let stream: ServerResponse | undefined;
    const node = await upstream((request, response) => {
      stream = response.writeHead(200, { 'content-type': 'text/event-stream' });
      request.socket.once('close', () => (left = true));
      stream.write('retry: 1000\n\n');
    });
    const { ask } = await gateway([node.url]);
    const gone = new AbortController();
    const response = await ask(`/v1/jobs/${id}/events`, { signal: gone.signal });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const read = async () => Buffer.from((await reader.read()).value ?? []).toString();
    assert.equal(await read(), 'retry: 1000\n\n');
    for (const number of [1, 2, 3]) {
      stream?.write(`id: ${number}\ndata: {}\n\n`);
      assert.equal(await read(), `id: ${number}\ndata: {}\n\n`);
    }
    gone.abort();
    await until('the node to see the end', () => left);
  });

  it('the event stream of a node that dies or falls silent breaks off', async () => {
    const dying = await upstream((request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': \n\n');
      setImmediate(() => request.socket.destroy());
    });
    const silent = await upstream(
      (_request, response) =>
        void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': \n\n'),
    );
    for (const { url } of [dying, silent]) {
      const { ask } = await gateway([url], { EQUALIZER_SILENCE_TIMEOUT_MS: 100 });
      const response = await ask(`/v1/jobs/${id}/events`);
      assert.equal(response.status, 200);
      await assert.rejects(response.text());
    }
  });
});
