/**
 * The HTTP surface of a node in tests, with real ZooKeeper, files and image threads. The test plays
 * the coordinator.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import {
  createApiKey,
  createHealth,
  createLog,
  createMetrics,
  deriveToken,
  listen,
  subjects,
  type HttpApp,
  type Metrics,
} from '@thermomesh/runtime';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { ZooKeeper } from '@thermomesh/zookeeper';
import type { ImageJob } from '@thermomesh/contracts';
import { openFsBlobs } from '../adapters/fs-blobs.ts';
import { createZooKeeperJobs } from '../adapters/zookeeper-jobs.ts';
import { nodesOf } from '../core/jobs.ts';
import type { BlobStore, Jobs } from '../core/ports.ts';
import { imageLimitsDefault } from '../image/index.ts';
import { createImageWorkers, type ImageWorkers } from '../worker/index.ts';
import { createAccess } from './access.ts';
import { createEqualizerApp } from './app.ts';
import type { AppDeps } from './deps.ts';

export const secret = 'the mesh secret, at least thirty-two characters';
export const gatewayToken = deriveToken(secret, subjects.service('gateway'));

/** Resources that all tests of a file share. */
export interface World {
  zk: ZooKeeper;
  workers: ImageWorkers;
  server: TestEnsemble;
  /** API keys: two with the scope, one without. */
  keys: { ann: string; bob: string; reader: string };
  folder: string;
  end(): Promise<void>;
}

export interface Node {
  app: HttpApp;
  url: string;
  root: string;
  jobs: Jobs;
  blobs: BlobStore;
  metrics: Metrics;
  ask(route: string, init?: RequestInit & { key?: string }): Promise<Response>;
  /** All paths in the folder of blobs. */
  files(): string[];
  /** Names of the jobs' znodes. */
  jobIds(): Promise<string[]>;
  close(): Promise<void>;
}

/** Small limits that tests can exceed. */
export const pixelsMax = 100_000;
export const wholeImagePixelsMax = 20_000;

export async function openWorld(): Promise<World> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-http-'));
  const file = path.join(folder, 'keys');
  const server = await testZooKeeper({ tickTimeMs: 100 });
  const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs: 2_000 });
  zk.start();
  await zk.whenConnected({ timeoutMs: 30_000 });
  const limits = { ...imageLimitsDefault, pixelsMax, wholeImagePixelsMax };
  const workers = createImageWorkers({ threads: 1, limits });
  workers.warm();
  return {
    zk,
    workers,
    server,
    folder,
    keys: {
      ann: (await createApiKey(file, ['images'])).key,
      bob: (await createApiKey(file, ['read', 'images'])).key,
      reader: (await createApiKey(file, ['read', 'checkout'])).key,
    },
    async end() {
      await zk.close();
      await workers.close(0);
      await server.remove();
      rmSync(folder, { recursive: true });
    },
  };
}

let nodes = 0;

/** Opens a node. @param shared another node, whose jobs and blobs the new one uses too */
export async function openNode(
  world: World,
  over: Partial<AppDeps> | ((jobs: Jobs, blobs: BlobStore) => Partial<AppDeps>) = {},
  shared?: Node,
): Promise<Node> {
  nodes += 1;
  const root = shared?.root ?? `/http-test-${nodes}`;
  const blobFolder = path.join(world.folder, root.slice(1));
  const jobs = createZooKeeperJobs({ zk: world.zk, root });
  const blobs = await openFsBlobs({ folder: blobFolder });
  const metrics = createMetrics({ defaults: false });
  const { limits, ...rest } = typeof over === 'function' ? over(jobs, blobs) : over;
  const access = createAccess({ secret, apiKeysFile: path.join(world.folder, 'keys') });
  const log = createLog('test', 'silent');
  const app = await createEqualizerApp(
    { access, log, health: createHealth(), metrics },
    {
      nodeId: 1,
      coordinator: { leader: async () => undefined },
      leader: { leading: [] },
      jobs,
      blobs,
      workers: world.workers,
      ...rest,
      limits: { wholeImagePixelsMax, ...limits },
    },
  );
  const url = await listen(app, '127.0.0.1', 0);
  return {
    app,
    url,
    root,
    jobs,
    blobs,
    metrics,
    ask: async (route, { key = world.keys.ann, headers, ...init } = {}) =>
      fetch(url + route, { headers: { authorization: `Bearer ${key}`, ...(headers as object) }, ...init }),
    files: () =>
      readdirSync(blobFolder, { recursive: true })
        .map(String)
        .filter((name) => name !== 'jobs'),
    jobIds: async () => {
      await world.zk.ensurePath(nodesOf(root).jobs);
      return (await world.zk.getChildren(nodesOf(root).jobs)).names;
    },
    close: async () => app.close(),
  };
}

/** A form with fields, followed by an image. */
export function formOf(
  bytes: Uint8Array | null,
  fields: Record<string, string> = {},
  fileName = 'photo.png',
): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  if (bytes !== null) form.append('file', new Blob([Uint8Array.from(bytes)]), fileName);
  return form;
}

/** Submits a job and asserts that it is accepted. */
export async function submitted(
  node: Node,
  form: FormData,
  init: { key?: string; headers?: Record<string, string> } = {},
): Promise<ImageJob> {
  const response = await node.ask('/v1/jobs', { method: 'POST', body: form, ...init });
  const body: unknown = await response.json();
  assert.equal(response.status, 201, JSON.stringify(body));
  return body as ImageJob;
}

/** Asserts that a response is a problem document with this status. @returns its code */
export async function problemOf(response: Response, status: number): Promise<string> {
  const problem = (await response.json()) as { status: number; code: string; detail: string };
  assert.equal(response.status, status, JSON.stringify(problem));
  assert.equal(problem.status, status);
  assert.equal(response.headers.get('content-type')?.split(';')[0], 'application/problem+json');
  assert.ok(!problem.detail.includes(os.tmpdir()), problem.detail);
  return problem.code;
}

/** A form as bytes, which a test can send in pieces. */
export function rawForm(bytes: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'),
    Buffer.from('Content-Type: image/png\r\n\r\n'),
    bytes,
    Buffer.from('\r\n--b--\r\n'),
  ]);
}

/** A request whose body the test writes itself. */
export function rawRequest(world: World, at: Node, headers: Record<string, string>): http.ClientRequest {
  return http.request(`${at.url}/v1/jobs`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${world.keys.ann}`,
      'content-type': 'multipart/form-data; boundary=b',
      ...headers,
    },
  });
}

/** A plain object with the bound methods of an instance, which can be spread. */
export function bound<T extends object>(object: T): T {
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).map((name) => {
    const value = (object as Record<string, unknown>)[name];
    return [name, typeof value === 'function' ? (value.bind(object) as unknown) : value];
  });
  return Object.fromEntries(methods) as T;
}
