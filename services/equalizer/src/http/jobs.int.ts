import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ImageJobs, isDocument, type ImageJob } from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { storeJob, writeProgress } from '../adapters/testing/jobs.ts';
import { blobsOf, nodesOf } from '../core/jobs.ts';
import { imageOf, noise } from '../image/testing/samples.ts';
import { formOf, gatewayToken, openNode, openWorld, problemOf, secret, submitted } from './testing.ts';
import type { Node, World } from './testing.ts';

let world: World;
let node: Node;
let png: Buffer;

before(async () => {
  world = await openWorld();
  node = await openNode(world);
  const shape = { width: 40, height: 30, channels: 3, depth: 8 } as const;
  png = await imageOf(shape, noise(shape)).png().toBuffer();
});
after(async () => {
  await node.close();
  await world.end();
});

const hand = async (init: { key?: string; headers?: Record<string, string> } = {}) =>
  submitted(node, formOf(png, { format: 'tiff' }), init);
const read = async (id: string, key?: string) => node.ask(`/v1/jobs/${id}`, key === undefined ? {} : { key });
const submissionOf = async ({ id }: ImageJob) => (await node.jobs.read(id))!.submission;
const store = async (job: ImageJob, phase: Parameters<typeof storeJob>[3]) =>
  storeJob(world.zk, node.root, await submissionOf(job), phase);

describe('who may come in', () => {
  const routes: [string, string][] = [
    ['GET', '/v1/jobs'],
    ['POST', '/v1/jobs'],
    ['GET', `/v1/jobs/${randomUUID()}`],
    ['GET', `/v1/jobs/${randomUUID()}/events`],
    ['GET', `/v1/jobs/${randomUUID()}/result`],
    ['DELETE', `/v1/jobs/${randomUUID()}`],
  ];

  it('requests without a key or without the scope are refused', async () => {
    for (const [method, route] of routes) {
      const stranger = { method, headers: { authorization: 'Bearer tmk_000000000000_x' } };
      assert.equal(await problemOf(await node.ask(route, stranger), 401), 'access.unknown_key');
      assert.equal(
        await problemOf(await node.ask(route, { method, key: world.keys.reader }), 403),
        'access.scope',
      );
    }
  });

  it('only the gateway may name the caller of a request', async () => {
    const passedOn = (caller: string) => ({
      headers: { authorization: `Bearer ${gatewayToken}`, 'thermomesh-caller': caller },
    });
    const job = await hand(passedOn('key:carol'));
    assert.equal((await submissionOf(job)).caller, 'key:carol');
    assert.equal((await node.ask(`/v1/jobs/${job.id}`, passedOn('key:carol'))).status, 200);
    assert.equal((await node.ask(`/v1/jobs/${job.id}`, passedOn('key:dave'))).status, 404);
    const posing = { authorization: `Bearer ${world.keys.ann}`, 'thermomesh-caller': 'key:carol' };
    assert.equal((await node.ask(`/v1/jobs/${job.id}`, { headers: posing })).status, 404);
    const other = deriveToken(secret, subjects.service('billing'));
    const rogue = { authorization: `Bearer ${other}`, 'thermomesh-caller': 'key:carol' };
    assert.equal(await problemOf(await node.ask('/v1/jobs', { headers: rogue }), 401), 'access.unknown_key');
    const silent = { authorization: `Bearer ${gatewayToken}` };
    assert.equal(await problemOf(await node.ask('/v1/jobs', { headers: silent }), 400), 'access.no_caller');
  });

  it('health, metrics and the API description need no key', async () => {
    for (const route of ['/livez', '/readyz', '/metrics', '/openapi.json'])
      assert.equal((await fetch(node.url + route)).status, 200);
    const text = await (await fetch(`${node.url}/metrics`)).text();
    assert.match(text, /thermomesh_equalizer_submissions_total\{outcome="accepted"\} [1-9]/);
    assert.match(text, /thermomesh_equalizer_uploads 0/);
  });
});

describe('a job', () => {
  it('a job shows its phase and its progress', async () => {
    const job = await hand();
    await store(job, 'mapping');
    await writeProgress(world.zk, node.root, job.id, { phase: 'mapping', done: 2, chunks: 5 });
    const now = (await (await read(job.id)).json()) as ImageJob;
    assert.deepEqual([now.phase, now.progress], ['mapping', { done: 2, chunks: 5 }]);
    await store(job, 'failed');
    const failed = (await (await read(job.id)).json()) as ImageJob;
    assert.deepEqual([failed.phase, failed.reason, failed.result], ['failed', 'no', null]);
  });

  it('the job of another caller looks like an unknown job', async () => {
    const job = await hand();
    await store(job, 'finished');
    for (const [method, route] of [
      ['GET', `/v1/jobs/${job.id}`],
      ['GET', `/v1/jobs/${job.id}/events`],
      ['GET', `/v1/jobs/${job.id}/result`],
      ['DELETE', `/v1/jobs/${job.id}`],
    ] as const) {
      const theirs = await node.ask(route, { method, key: world.keys.bob });
      const none = await node.ask(route.replace(job.id, randomUUID()), { method, key: world.keys.bob });
      const bodies = [theirs, none].map(async (each) => {
        const { requestId: _, ...body } = (await each.clone().json()) as { requestId: string };
        return body;
      });
      assert.equal(await problemOf(theirs, 404), 'jobs.unknown');
      assert.deepEqual(await bodies[0], await bodies[1]);
    }
    const list: unknown = await (await node.ask('/v1/jobs', { key: world.keys.bob })).json();
    assert.deepEqual(list, { jobs: [] });
    assert.deepEqual(await world.zk.exists(nodesOf(node.root).cancellation(job.id)), undefined);
    for (const odd of ['x', '..%2f..', job.id.toUpperCase()])
      assert.ok([400, 404].includes((await read(odd)).status), odd);
  });

  it('the jobs of a caller are listed newest first', async () => {
    const headers = { authorization: `Bearer ${gatewayToken}`, 'thermomesh-caller': 'key:lister' };
    const ids = [(await hand({ headers })).id, (await hand({ headers })).id];
    const list: unknown = await (await node.ask('/v1/jobs', { headers })).json();
    assert.ok(isDocument(ImageJobs, list));
    assert.deepEqual(list.jobs.map(({ id }) => id).sort(), [...ids].sort());
    const times = list.jobs.map(({ submittedAt }) => submittedAt);
    assert.deepEqual(times, [...times].sort().reverse());
  });

  it('a caller can cancel a job; repeated and late requests do no harm', async () => {
    const job = await hand();
    const end = async () => node.ask(`/v1/jobs/${job.id}`, { method: 'DELETE' });
    for (const response of [await end(), await end()]) {
      assert.equal(response.status, 202);
      assert.equal(((await response.json()) as ImageJob).id, job.id);
    }
    assert.ok((await world.zk.exists(nodesOf(node.root).cancellation(job.id))) !== undefined);
    await store(job, 'cancelled');
    const late = await end();
    assert.equal(late.status, 200);
    assert.equal(((await late.json()) as ImageJob).phase, 'cancelled');
  });

  it('while ZooKeeper is away, jobs are unavailable and not unknown', async () => {
    const away = async () => {
      throw new MeshError('jobs.unavailable', 'no answer', { retriable: true });
    };
    const cut = await openNode(world, (jobs) => ({
      jobs: {
        read: away,
        list: away,
        countOpen: away,
        accept: away,
        cancel: away,
        follow: (id, signal) => jobs.follow(id, signal),
      },
    }));
    for (const route of ['/v1/jobs', `/v1/jobs/${randomUUID()}`]) {
      const response = await cut.ask(route);
      assert.equal(response.headers.get('retry-after'), '2');
      assert.equal(await problemOf(response, 503), 'jobs.unavailable');
    }
    const post = await cut.ask('/v1/jobs', { method: 'POST', body: formOf(png) });
    assert.equal(await problemOf(post, 503), 'jobs.unavailable');
    assert.deepEqual(cut.files(), []);
    await cut.close();
  });
});

describe('a result', () => {
  const result = async (id: string) => node.ask(`/v1/jobs/${id}/result`);

  it('a result is the stored image with its content type', async () => {
    const job = await hand();
    const bytes = Buffer.alloc(300_000, 7);
    await node.blobs.put(blobsOf(job.id).result, bytes);
    await store(job, 'finished');
    const shown = (await (await read(job.id)).json()) as ImageJob;
    assert.equal(shown.result, `/v1/jobs/${job.id}/result`);
    const response = await node.ask(shown.result);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'image/tiff');
    assert.equal(response.headers.get('content-length'), '300000');
    assert.equal(
      response.headers.get('content-disposition'),
      `attachment; filename="equalized-${job.id}.tiff"`,
    );
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
  });

  it('a result that is not ready, absent or removed has a status of its own', async () => {
    const job = await hand();
    assert.equal(await problemOf(await result(job.id), 409), 'jobs.not_finished');
    await store(job, 'failed');
    assert.equal(await problemOf(await result(job.id), 410), 'jobs.no_result');
    await store(job, 'finished');
    assert.equal(await problemOf(await result(job.id), 410), 'jobs.result_gone');
  });

  it('a client that disconnects during a download leaves no open file', async () => {
    const job = await hand();
    await node.blobs.put(blobsOf(job.id).result, Buffer.alloc(8_000_000));
    await store(job, 'finished');
    const gone = new AbortController();
    const response = await node.ask(`/v1/jobs/${job.id}/result`, { signal: gone.signal });
    const reader = response.body!.getReader();
    await reader.read();
    gone.abort();
    await assert.rejects(reader.read());
    assert.equal((await result(job.id)).status, 200);
  });
});
