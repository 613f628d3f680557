import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { ImageJob, isDocument } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import { storeJob } from '../adapters/testing/jobs.ts';
import { until } from '@thermomesh/testing';
import { imageOf, noise } from '../image/testing/samples.ts';
import type { SpoolShape } from '../image/index.ts';
import {
  bound,
  formOf,
  gatewayToken,
  openNode,
  openWorld,
  problemOf,
  rawForm,
  rawRequest,
  submitted,
  type Node,
  type World,
} from './testing.ts';
import { jobIdOf } from './submissions.ts';

let world: World;
let node: Node;
let png: Buffer;

const colour: SpoolShape = { width: 40, height: 30, channels: 3, depth: 8 };
const image = (shape: Partial<SpoolShape> = {}) => {
  const whole = { ...colour, ...shape };
  return imageOf(whole, noise(whole));
};

before(async () => {
  world = await openWorld();
  node = await openNode(world);
  png = await image().png().toBuffer();
});
after(async () => {
  await node.close();
  await world.end();
});

const post = async (
  form: FormData | string,
  { at = node, ...init }: { at?: Node; key?: string; headers?: Record<string, string> } = {},
) => at.ask('/v1/jobs', { method: 'POST', body: form, ...init });

describe('an upload', () => {
  it('an upload becomes a job with its image, parameters and address', async () => {
    const own = await openNode(world);
    const response = await post(formOf(png, { mode: 'grey', page: '0', format: 'tiff' }), { at: own });
    assert.equal(response.status, 201);
    const job: unknown = await response.json();
    assert.ok(isDocument(ImageJob, job));
    assert.equal(response.headers.get('location'), `/v1/jobs/${job.id}`);
    assert.equal(response.headers.get('idempotency-replayed'), null);
    assert.deepEqual(job.parameters, { mode: 'grey', page: 0, format: 'tiff' });
    assert.deepEqual([job.phase, job.fileName, job.result, job.image], ['queued', 'photo.png', null, null]);
    const view = await own.jobs.read(job.id);
    assert.deepEqual(await own.blobs.read(view!.submission.input), png);
    assert.equal(view!.submission.resultFormat, 'tiff');
    assert.match(view!.submission.caller, /^key:[0-9a-f]{12}$/);
    await own.close();
  });

  it('the fields of a form may follow the image', async () => {
    const form = formOf(png);
    form.append('definition', 'vips');
    assert.deepEqual((await submitted(node, form)).parameters, { definition: 'vips' });
  });

  it('a hostile file name is only text', async () => {
    const hostile = [
      '../../../etc/passwd',
      'a[page=1].png',
      '$(rm -rf).png',
      'naïve 图片 🖼.png',
      'x'.repeat(999),
    ];
    for (const name of hostile) {
      const job = await submitted(node, formOf(png, {}, name));
      assert.ok(name.endsWith(job.fileName) || name.startsWith(job.fileName), job.fileName);
      assert.ok(job.fileName.length <= 255);
      const input = (await node.jobs.read(job.id))!.submission.input;
      assert.match(input, new RegExp(`^jobs/${job.id}/input-[0-9a-f-]{36}$`));
    }
  });

  it('an upload is streamed to disk and not visible before it is complete', async () => {
    const own = await openNode(world);
    const body = rawForm(png);
    const request = rawRequest(world, own, { 'content-length': String(body.length) });
    request.write(body.subarray(0, body.length - 40));
    await until('the first bytes', () => own.files().some((name) => name.endsWith('blob')));
    assert.deepEqual(await own.jobIds(), []);
    request.end(body.subarray(body.length - 40));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(response.statusCode, 201);
    response.resume();
    await own.close();
  });
});

describe('a key of the caller’s own', () => {
  const headers = () => ({ 'idempotency-key': randomUUID() });

  it('a request repeated with its key gets the same job at any node', async () => {
    const other = await openNode(world, {}, node);
    const keyed = headers();
    const first = await post(formOf(png, { mode: 'grey' }), { headers: keyed });
    const again = await post(formOf(png, { mode: 'grey' }, 'renamed.png'), { at: other, headers: keyed });
    assert.deepEqual([first.status, again.status], [201, 201]);
    assert.equal(first.headers.get('idempotency-replayed'), null);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    const [one, two] = [(await first.json()) as ImageJob, (await again.json()) as ImageJob];
    assert.deepEqual(two, one);
    assert.equal(again.headers.get('location'), first.headers.get('location'));
    assert.equal(node.files().filter((name) => name.startsWith(`jobs/${one.id}/input`)).length, 1);
    await other.close();
  });

  it('a key that is reused for another request is refused and changes nothing', async () => {
    const keyed = headers();
    const job = await submitted(node, formOf(png, { mode: 'grey' }), { headers: keyed });
    const jpeg = await image().jpeg().toBuffer();
    for (const form of [formOf(jpeg, { mode: 'grey' }), formOf(png), formOf(png, { mode: 'luminance' })])
      assert.equal(await problemOf(await post(form, { headers: keyed }), 422), 'jobs.other_request');
    const view = await node.jobs.read(job.id);
    assert.deepEqual(await node.blobs.read(view!.submission.input), png);
  });

  it('the same key of two callers makes two jobs', async () => {
    const keyed = headers();
    const one = await submitted(node, formOf(png), { headers: keyed });
    const other = await submitted(node, formOf(png), { headers: keyed, key: world.keys.bob });
    assert.notEqual(one.id, other.id);
    assert.notEqual(jobIdOf('a', 'bc'), jobIdOf('ab', 'c'));
  });

  it('concurrent requests with one key make one job and one upload', async () => {
    const own = await openNode(world);
    const keyed = headers();
    const all = await Promise.all(
      Array.from({ length: 6 }, async () => post(formOf(png), { at: own, headers: keyed })),
    );
    const bodies = (await Promise.all(all.map(async (each) => each.json()))) as ImageJob[];
    assert.deepEqual(
      all.map(({ status }) => status),
      Array(6).fill(201),
    );
    assert.equal(new Set(bodies.map(({ id }) => id)).size, 1);
    assert.equal(all.filter((each) => each.headers.get('idempotency-replayed') === null).length, 1);
    assert.equal((await own.jobIds()).length, 1);
    assert.equal(own.files().filter((name) => name.includes('/input-')).length, 1);
    await own.close();
  });

  it('a job whose answer was lost is found by its key and keeps its upload', async () => {
    let cut = true;
    const own = await openNode(world, (jobs) => ({
      jobs: {
        ...bound(jobs),
        async accept(submission) {
          await jobs.accept(submission);
          if (cut) throw new MeshError('jobs.unavailable', 'no answer', { retriable: true });
        },
      },
    }));
    const keyed = headers();
    const lost = await post(formOf(png), { at: own, headers: keyed });
    assert.equal(await problemOf(lost, 503), 'jobs.unavailable');
    assert.ok(lost.headers.get('retry-after'));
    cut = false;
    const job = await submitted(own, formOf(png), { headers: keyed });
    const view = await own.jobs.read(job.id);
    assert.deepEqual(await own.blobs.read(view!.submission.input), png);
    assert.equal((await own.jobIds()).length, 1);
    await own.close();
  });

  it('an Idempotency-Key must be visible ASCII of bounded length', async () => {
    for (const bad of ['', 'a b', 'x'.repeat(129)])
      assert.equal(
        await problemOf(await post(formOf(png), { headers: { 'idempotency-key': bad } }), 400),
        'jobs.bad_key',
      );
  });
});

describe('limits', () => {
  it('a caller with too many jobs is refused; others and repetitions are not', async () => {
    const own = await openNode(world, { limits: { jobsPerCallerMax: 1, jobsOpenMax: 2 } });
    const keyed = { headers: { 'idempotency-key': 'a' } };
    const job = await submitted(own, formOf(png), keyed);
    const refused = await post(formOf(png), { at: own });
    assert.equal(refused.headers.get('retry-after'), '2');
    assert.equal(await problemOf(refused, 429), 'jobs.too_many_of_caller');
    await submitted(own, formOf(png), { key: world.keys.bob });
    const carol = { authorization: `Bearer ${gatewayToken}`, 'thermomesh-caller': 'key:carol' };
    const full = await post(formOf(png), { at: own, headers: carol });
    assert.ok(full.headers.get('retry-after'));
    assert.equal(await problemOf(full, 503), 'jobs.too_many');
    assert.equal((await submitted(own, formOf(png), keyed)).id, job.id);
    assert.equal((await own.jobIds()).length, 2);
    await own.close();
  });

  it('jobs that are over but still kept do not count against their caller', async () => {
    const own = await openNode(world, { limits: { jobsPerCallerMax: 1, jobsOpenMax: 1 } });
    const { id } = await submitted(own, formOf(png));
    const { submission: mine } = (await own.jobs.read(id)) ?? assert.fail();
    await storeJob(world.zk, own.root, mine, 'finished');
    await submitted(own, formOf(png));
    assert.equal((await own.jobIds()).length, 2);
    await own.close();
  });

  it('concurrent uploads are limited for each caller and for the node', async () => {
    const own = await openNode(world, { limits: { uploadsPerCallerMax: 1, uploadsMax: 2 } });
    const body = rawForm(png);
    const open: http.ClientRequest[] = [];
    for (const headers of [{}, { authorization: `Bearer ${world.keys.bob}` }]) {
      const request = rawRequest(world, own, { 'content-length': String(body.length), ...headers });
      request.write(body.subarray(0, 200));
      open.push(request);
    }
    await until('both', () => own.files().filter((name) => name.endsWith('blob')).length === 2);
    assert.equal(await problemOf(await post(formOf(png), { at: own }), 429), 'upload.too_many_of_caller');
    const carol = { authorization: `Bearer ${gatewayToken}`, 'thermomesh-caller': 'key:carol' };
    const refused = await post(formOf(png), { at: own, headers: carol });
    assert.equal(await problemOf(refused, 503), 'upload.too_many');
    for (const request of open) request.end(body.subarray(200));
    await Promise.all(open.map(async (request) => once(request, 'response')));
    await submitted(own, formOf(png));
    await own.close();
  });

  it('a graceful shutdown lets an upload in flight finish', async () => {
    const own = await openNode(world, { limits: { stopGraceMs: 15_000 } });
    const body = rawForm(png);
    const request = rawRequest(world, own, { 'content-length': String(body.length) });
    request.write(body.subarray(0, 200));
    await until('the upload', () => own.files().some((name) => name.endsWith('blob')));
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
    const closing = own.close();
    request.end(body.subarray(200));
    const [response] = await answered;
    assert.equal(response.statusCode, 201);
    response.resume();
    await closing;
    assert.equal((await own.jobIds()).length, 1);
  });
});
