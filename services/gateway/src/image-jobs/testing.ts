/** The proxy to the equalizer with stand-ins for nodes. The end-to-end tests use real nodes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach } from 'node:test';
import type { BrokerDocument } from '@thermomesh/contracts';
import {
  createApiKey,
  createGatekeeper,
  createHealth,
  createLog,
  createMetrics,
  listen,
  type HttpApp,
  type Log,
  type Metrics,
} from '@thermomesh/runtime';
import { createGatewayApp } from '../http/app.ts';
import type { ReadingsApiService } from '../readings-api/readings-api.ts';
import { createImageJobs, type ImageJobsService } from './image-jobs.ts';
import { imageJobsOptions, type ImageJobsConfig } from './settings.ts';

export const secret = 'the mesh secret, at least thirty-two characters';
/** The content type of an upload. */
export const form = 'multipart/form-data; boundary=x';
export const id = '0b8f2c1e-1111-4222-8333-444455556666';
const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-proxy-'));
const keysFile = path.join(folder, 'keys');
/** A key with the scope of the image jobs, and one with other scopes. */
export const keys = {
  images: await createApiKey(keysFile, ['images']),
  read: await createApiKey(keysFile, ['read']),
  admin: await createApiKey(keysFile, ['read', 'admin']),
  other: (await createApiKey(keysFile, ['read', 'checkout'])).key,
};
let closers: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});
after(() => rmSync(folder, { recursive: true }));

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A stand-in for a node. */
export interface Upstream {
  url: string;
  server: http.Server;
  requests: IncomingMessage[];
}

/** Starts a stand-in for a node. */
export async function upstream(handler: Handler): Promise<Upstream> {
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

/** The URL of a port at which no process listens. */
export async function deadNode(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

/** Short enough to wait for a frozen node, and long enough for a live node on a busy machine. */
export const impatient = { EQUALIZER_TRY_TIMEOUT_MS: 1_000 };

/** The URL of a node that accepts connections and never answers, like a stopped process. */
export async function frozenNode(): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

const defaults: ImageJobsConfig = {
  EQUALIZER_TRY_TIMEOUT_MS: 15_000,
  EQUALIZER_ANSWER_TIMEOUT_MS: 30_000,
  EQUALIZER_SILENCE_TIMEOUT_MS: 30_000,
  EQUALIZER_UPLOAD_TIMEOUT_MS: 60_000,
  SERVICES_PATH: '/services',
  ZOOKEEPER_SESSION_TIMEOUT_MS: 1_000,
};

/** The HTTP surface of a gateway whose equalizer is made of stand-ins. */
export interface Gateway {
  app: HttpApp;
  url: string;
  ask: (route: string, init?: RequestInit) => Promise<Response>;
  /** Begins an upload whose body the test sends. */
  upload: (headers?: Record<string, string>) => http.ClientRequest;
}

/** Starts the routes of the gateway, with a proxy to these nodes of the equalizer. */
export async function gateway(urls: string[], over: Partial<ImageJobsConfig> = {}): Promise<Gateway> {
  const config = { ...defaults, ...(urls.length === 0 ? {} : { EQUALIZER_URLS: urls.join() }), ...over };
  const options = imageJobsOptions(config);
  return openGateway((deps) => ({ jobs: options && createImageJobs(options, deps) }), keys.images.key);
}

interface PartDeps {
  log: Log;
  metrics: Metrics;
  secret: string;
}

/** The parts that pass requests on; those that are missing are off. */
interface Parts {
  jobs?: ImageJobsService | undefined;
  readings?: ReadingsApiService | undefined;
}

/** Starts the routes of the gateway with some of its parts. @param key the key of `ask` */
export async function openGateway(partsOf: (deps: PartDeps) => Parts, key: string): Promise<Gateway> {
  const metrics = createMetrics({ defaults: false });
  const log = createLog('test', 'silent');
  const { jobs, readings } = partsOf({ log, metrics, secret });
  const app = await createGatewayApp(
    { log, health: createHealth(), metrics, gatekeeper: createGatekeeper(secret, keysFile) },
    {
      describeBroker: () => ({}) as BrokerDocument,
      mqttPort: () => 1883,
      checkout: undefined,
      commands: undefined,
      jobs,
      readings,
      limits: { requestsPerMinuteMax: 10_000, addressRequestsPerMinuteMax: 10_000 },
    },
  );
  const url = await listen(app, '127.0.0.1', 0);
  closers.push(async () => {
    await app.close();
    await Promise.all([jobs?.stop(), readings?.stop()]);
  });
  const authorization = `Bearer ${key}`;
  return {
    app,
    url,
    ask: async (route, { headers, ...init } = {}) =>
      fetch(url + route, { headers: { authorization, ...(headers as object) }, ...init }),
    upload: (headers = {}) =>
      http.request(`${url}/v1/jobs`, {
        method: 'POST',
        headers: { authorization, 'content-type': form, ...headers },
      }),
  };
}

/** The code of a problem document, which the answer must be. */
export async function problemOf(response: Response, status: number): Promise<string> {
  const problem = (await response.json()) as { code: string };
  assert.equal(response.status, status, JSON.stringify(problem));
  assert.equal(response.headers.get('content-type')?.split(';')[0], 'application/problem+json');
  if (status === 503) assert.ok(response.headers.get('retry-after'));
  return problem.code;
}

/** Waits for the answer to an upload. */
export async function answerTo(request: http.ClientRequest): Promise<{ status: number; body: string }> {
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode ?? 0, body };
}

/** Reads a body to its end; resolves with its number of bytes. */
export const bytesOf = async (request: IncomingMessage): Promise<number> => {
  let bytes = 0;
  for await (const chunk of request) bytes += (chunk as Buffer).length;
  return bytes;
};
/** Answers with a JSON document. */
export const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
