import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import {
  createApiKey,
  createGatekeeper,
  createHealth,
  createLog,
  createMetrics,
  deriveToken,
  listen,
  subjects,
  type HttpApp,
} from '@thermomesh/runtime';
import { createGatewayApp } from '../../http/app.ts';
import { createJobs, type JobsService } from '../jobs.ts';
import type { JobsSettings } from '../settings.ts';

const secret = 'the mesh secret, at least thirty-two characters';
const id = '0b8f2c1e-1111-4222-8333-444455556666';
const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-proxy-'));
const keysFile = path.join(folder, 'keys');
let keys: { images: { id: string; key: string }; other: string };
let closers: (() => Promise<unknown> | void)[] = [];

before(async () => {
  keys = {
    images: await createApiKey(keysFile, ['images']),
    other: (await createApiKey(keysFile, ['read', 'checkout'])).key,
  };
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});
after(() => rmSync(folder, { recursive: true }));

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Upstream {
  url: string;
  server: http.Server;
  requests: IncomingMessage[];
}

/** A stand-in for a node; the real one is behind the gateway in the end-to-end tests. */
async function upstream(handler: Handler): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    requests.push(request);
    request.on('error', () => undefined);
    handler(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, server, requests };
}

/** A port where nobody listens. */
async function nobody(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

/** Short enough to wait for a frozen node, and long enough for a node on a busy machine. */
const impatient = { EQUALIZER_TRY_TIMEOUT_MS: 1_000 };

/** A process that takes connections and never says anything: as one that was stopped. */
async function frozen(): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

const settings: JobsSettings = {
  ...{ EQUALIZER_TRY_TIMEOUT_MS: 15_000, EQUALIZER_ANSWER_TIMEOUT_MS: 30_000 },
  ...{ EQUALIZER_SILENCE_TIMEOUT_MS: 30_000, EQUALIZER_UPLOAD_TIMEOUT_MS: 60_000 },
  ...{ SERVICES_PATH: '/services', ZOOKEEPER_SESSION_TIMEOUT_MS: 1_000 },
};

interface Gateway {
  app: HttpApp;
  url: string;
  ask: (route: string, init?: RequestInit) => Promise<Response>;
  /** An upload whose body the test sends. */
  upload: (headers?: Record<string, string>) => http.ClientRequest;
}

async function gateway(urls: string[], over: Partial<JobsSettings> = {}): Promise<Gateway> {
  const metrics = createMetrics({ defaults: false });
  const log = createLog('test', 'silent');
  const config = { ...settings, ...(urls.length === 0 ? {} : { EQUALIZER_URLS: urls.join() }), ...over };
  const jobs: JobsService | undefined = createJobs(config, { log, metrics, secret });
  const app = await createGatewayApp(
    { log, health: createHealth(), metrics, gatekeeper: createGatekeeper(secret, keysFile) },
    {
      describeBroker: () => ({}) as BrokerDocument,
      ...{ checkout: undefined, jobs },
      limits: { requestsPerMinuteMax: 10_000, addressRequestsPerMinuteMax: 10_000 },
    },
  );
  const url = await listen(app, '127.0.0.1', 0);
  closers.push(async () => {
    await app.close();
    await jobs?.stop();
  });
  const authorization = `Bearer ${keys.images.key}`;
  return {
    ...{ app, url },
    ask: async (route, { headers, ...init } = {}) =>
      fetch(url + route, { headers: { authorization, ...(headers as object) }, ...init }),
    upload: (headers = {}) =>
      http.request(`${url}/v1/jobs`, { method: 'POST', headers: { authorization, ...headers } }),
  };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `waited in vain for: ${what}`);
    await delay(5);
  }
}

async function problemOf(response: Response, status: number): Promise<string> {
  const problem = (await response.json()) as { code: string };
  assert.equal(response.status, status, JSON.stringify(problem));
  assert.equal(response.headers.get('content-type')?.split(';')[0], 'application/problem+json');
  if (status === 503) assert.ok(response.headers.get('retry-after'));
  return problem.code;
}

/** The answer to an upload that the test sends. */
async function answerTo(request: http.ClientRequest): Promise<{ status: number; body: string }> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode ?? 0, body };
}

const bytesOf = async (request: IncomingMessage): Promise<number> => {
  let bytes = 0;
  for await (const chunk of request) bytes += (chunk as Buffer).length;
  return bytes;
};
const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

describe('the way to the equalizer', () => {
  it('passes each route on as it is, in the name of the key’s owner, and the answer back', async () => {
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
      const response = await ask(route, { method, headers: { 'last-event-id': '7', cookie: 'a=b' } });
      assert.equal(response.status, method === 'DELETE' ? 202 : 200);
      assert.deepEqual(await response.json(), { method, url: route });
      assert.equal(response.headers.get('x-node'), 'one');
      const { headers } = node.requests.at(-1)!;
      assert.equal(headers['last-event-id'], '7');
      assert.equal(headers['thermomesh-caller'], `key:${keys.images.id}`);
      assert.equal(headers.authorization, `Bearer ${deriveToken(secret, subjects.service('gateway'))}`);
      assert.equal(headers.cookie, undefined);
    }
  });

  it('a-caller-cannot-pose-as-another-or-reach-what-is-not-his', async () => {
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

  it('an answer without a body stays one', async () => {
    const node = await upstream((_request, response) => void response.writeHead(204).end());
    const { ask } = await gateway([node.url]);
    assert.equal((await ask(`/v1/jobs/${id}/events`)).status, 204);
  });

  it('without an equalizer it says so, and nothing else changes', async () => {
    const { ask } = await gateway([]);
    assert.equal(await problemOf(await ask('/v1/jobs'), 503), 'jobs.off');
    assert.equal(await problemOf(await ask('/v1/jobs', { method: 'POST', body: 'x' }), 503), 'jobs.off');
    assert.equal((await ask('/livez')).status, 200);
  });

  it('a-node-that-does-not-know-the-gateway-is-no-fault-of-the-caller', async () => {
    const node = await upstream((_request, response) => void json(response, 401, {}));
    const { ask } = await gateway([node.url]);
    assert.equal(await problemOf(await ask('/v1/jobs'), 503), 'jobs.gateway_refused');
  });
});

describe('an upload', () => {
  it('reaches-the-node-while-it-comes', async () => {
    let arrived = 0;
    const node = await upstream((request, response) => {
      request.on('data', (chunk: Buffer) => (arrived += chunk.length));
      request.on('end', () => void json(response, 201, { arrived }));
    });
    const { upload } = await gateway([node.url]);
    for (const headers of [
      { 'content-length': '2000' },
      { 'content-type': 'multipart/form-data; boundary=b' },
    ]) {
      arrived = 0;
      const request = upload(headers);
      request.write(Buffer.alloc(1_000));
      await until('the first half', () => arrived === 1_000);
      request.end(Buffer.alloc(1_000));
      assert.deepEqual(await answerTo(request), { status: 201, body: '{"arrived":2000}' });
    }
    assert.equal(node.requests[0]?.headers['content-length'], '2000');
    assert.equal(node.requests[1]?.headers['content-type'], 'multipart/form-data; boundary=b');
  });

  it('a-large-one-goes-through-whole-and-is-never-held', async () => {
    const pieces = 64;
    const piece = Buffer.alloc(1_048_576);
    const reading = Promise.withResolvers<undefined>();
    const node = await upstream((request, response) => {
      // It takes nothing until it is told to.
      void reading.promise.then(async () => json(response, 201, { bytes: await bytesOf(request) }));
    });
    const { upload } = await gateway([node.url]);
    const request = upload();
    let sent = 0;
    const more = async () => {
      for (; sent < pieces; sent += 1) if (!request.write(piece)) await once(request, 'drain');
      request.end();
    };
    const sending = more();
    await until('the node to have it', () => node.requests.length === 1);
    // Until nothing moves any more: what was taken by then lies in buffers on the way.
    for (let before = -1; before !== sent; await delay(200)) before = sent;
    assert.ok(sent < 30, `${sent} MiB were taken while nobody read`);
    const answered = answerTo(request);
    reading.resolve(undefined);
    await sending;
    assert.deepEqual(JSON.parse((await answered).body), { bytes: pieces * piece.length });
  });

  it('whose-first-node-is-dead-or-frozen-goes-whole-to-the-next', async () => {
    for (const bad of [await nobody(), await frozen()]) {
      const node = await upstream((request, response) => {
        void bytesOf(request).then((bytes) => json(response, 201, { bytes }));
      });
      const { ask } = await gateway([bad, node.url], impatient);
      for (let round = 0; round < 3; round++) {
        const response = await ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(300_000) });
        assert.deepEqual([response.status, await response.json()], [201, { bytes: 300_000 }]);
      }
      assert.equal(node.requests.length, 3);
    }
  });

  it('a-node-that-is-killed-in-the-middle-is-a-503-that-may-be-tried-again, and nobody gets half an image', async () => {
    const second = await upstream((_request, response) => void json(response, 201, {}));
    const first = await upstream((request) => void request.once('data', () => request.socket.destroy()));
    const { upload, ask } = await gateway([first.url, second.url]);
    const request = upload();
    request.on('error', () => undefined);
    request.write(Buffer.alloc(100_000));
    const answer = await answerTo(request);
    assert.equal(answer.status, 503);
    assert.equal((JSON.parse(answer.body) as { code: string }).code, 'jobs.interrupted');
    assert.equal(second.requests.length, 0);
    request.destroy();
    // The dead one is asked last from now on.
    assert.equal((await ask('/v1/jobs')).status, 201);
  });

  it('a-refusal-before-the-end-is-heard-and-the-rest-is-taken', async () => {
    const node = await upstream((request, response) => {
      request.once('data', () => json(response, 413, { code: 'image.bytes_limit' }));
      request.resume();
    });
    const { ask } = await gateway([node.url]);
    const response = await ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(20_000_000) });
    assert.deepEqual([response.status, await response.json()], [413, { code: 'image.bytes_limit' }]);
    const hangingUp = await upstream((request, response) => {
      request.once('data', () => {
        request.pause();
        json(response, 413, { code: 'image.bytes_limit' });
        response.on('finish', () => request.socket.destroySoon());
      });
    });
    const other = await gateway([hangingUp.url]);
    const cut = await other.ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(20_000_000) });
    assert.ok([413, 503].includes(cut.status), `${cut.status}`);
  });

  it('whose-caller-goes-away-is-cut-at-the-node-too', async () => {
    let cut = false;
    const node = await upstream((request) => {
      request.resume();
      request.once('close', () => (cut = !request.complete));
    });
    const { upload } = await gateway([node.url]);
    const request = upload({ 'content-length': '1000' });
    request.on('error', () => undefined);
    request.write(Buffer.alloc(500));
    await until('it to arrive', () => node.requests.length === 1);
    request.destroy();
    await until('the cut', () => cut);
  });
});

describe('nodes come and go', () => {
  it('dead-and-frozen-nodes-are-passed-over; with none left it says so', async () => {
    const node = await upstream((_request, response) => void json(response, 200, {}));
    const dead = [await nobody(), await frozen()];
    const some = await gateway([...dead, node.url], impatient);
    for (let round = 0; round < 4; round++) assert.equal((await some.ask('/v1/jobs')).status, 200);
    const none = await gateway(dead, impatient);
    assert.equal(await problemOf(await none.ask('/v1/jobs'), 503), 'jobs.no_equalizer');
    const post = { method: 'POST', body: Buffer.alloc(10_000) };
    assert.equal(await problemOf(await none.ask('/v1/jobs', post), 503), 'jobs.no_equalizer');
  });

  it('a connection that was kept and has died costs nobody an answer', async () => {
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
  it('pass-at-once-each-by-itself, and end with the caller', async () => {
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
    await until('the node to hear of it', () => left);
  });

  it('of-a-node-that-dies-or-falls-silent-break-off, so that their client comes back', async () => {
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
