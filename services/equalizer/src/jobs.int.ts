import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { JobParameters } from '@thermomesh/contracts';
import { planEqualization, type Definition, type Mode } from '@thermomesh/equalization';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { testKafka, type TestKafka } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { DynamicConfig } from '@thermomesh/zookeeper';
import { nodesOf } from './core/jobs.ts';
import { decode, type SpoolShape } from './image/index.ts';
import { equalizeHere } from './image/testing/here.ts';
import { dimPhotograph, imageOf, spoolPixels } from './image/testing/samples.ts';
import type { EqualizerService } from './service.ts';
import {
  adminSecret,
  meshPatience,
  meshSecret,
  openTestMesh,
  testTickTimeMs,
  type TestMesh,
} from './testing.ts';

let servers: TestKafka;
let mesh: TestMesh;

before(async () => {
  servers = await testKafka({
    zookeeper: { tickTimeMs: testTickTimeMs },
    // A killed broker can restart once its old session has ended.
    settings: { 'zookeeper.session.timeout.ms': '2000' },
  });
});
after(async () => servers.remove());

const colour: SpoolShape = { width: 160, height: 120, channels: 3, depth: 8 };
const log = { LOG_LEVEL: 'silent' };
const fewRemembered = {
  JOBS_REMEMBERED_MAX: '2',
  JOBS_OPEN_MAX: '1',
  JOBS_PER_CALLER_MAX: '1',
  JOBS_RUNNING_MAX: '1',
};
/** As many chunks as possible, so that phases take long. */
const many = { CHUNK_PIXELS: '10' };

async function pngOf(shape: SpoolShape): Promise<Buffer> {
  return imageOf(shape, dimPhotograph(shape)).png().toBuffer();
}

const metricsOf = async (port: number) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
/** The reasons why a node is not ready, by part. */
const reasonsOf = async (port: number) =>
  ((await (await fetch(`http://127.0.0.1:${port}/readyz`)).json()) as { reasons: Record<string, string> })
    .reasons;

/** Asserts that the job ends with the pixels that one process alone makes (I4). */
async function sameAsAlone(
  id: string,
  image: Buffer,
  shape: SpoolShape,
  { mode, definition }: { mode?: Mode; definition?: Definition } = {},
): Promise<void> {
  const { result, reason, phase } = await mesh.over(id);
  assert.ok(result !== null, `${phase}: ${reason}`);
  const at = (name: string) => path.join(mesh.folder, `${id}-${name}`);
  const { shape: got } = await decode(mesh.blobs.localPath(result), at('got.spool'));
  writeFileSync(at('input'), image);
  const { depth, channels } = shape;
  const asked = {
    ...(mode === undefined ? {} : { mode }),
    ...(definition === undefined ? {} : { definition }),
  };
  const wanted = await equalizeHere(
    at('input'),
    at('wanted'),
    planEqualization({ depth, channels, ...asked }),
  );
  assert.ok(wanted.equals(spoolPixels(at('got.spool'), got)), 'differs from one process doing it alone');
}

describe('three nodes', () => {
  let image: Buffer;
  let nodes: EqualizerService[] = [];
  before(async () => {
    mesh = await openTestMesh(servers, log);
    image = await pngOf(colour);
  });
  after(async () => mesh.remove());

  it('a job that was accepted while no node ran is done later (I5)', async () => {
    const id = await mesh.submit(image);
    nodes = await Promise.all([mesh.start(1), mesh.start(2), mesh.start(3)]);
    await sameAsAlone(id, image, colour);
    await mesh.settled('equalizer-1', 'equalizer-2', 'equalizer-3');
  });

  it('any node accepts a job over HTTP and serves its result', async () => {
    const other = nodes.find(({ node }) => node.coordinator.epoch === undefined);
    const url = `http://127.0.0.1:${other?.httpPort}`;
    const headers = { authorization: `Bearer ${deriveToken(meshSecret, subjects.operator)}` };
    const body = new FormData();
    body.set('mode', 'grey');
    body.set('file', new Blob([new Uint8Array(image)]), 'a.png');
    const taken = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body });
    assert.equal(taken.status, 201, await taken.clone().text());
    const { id } = (await taken.json()) as { id: string };
    await sameAsAlone(id, image, colour, { mode: 'grey' });
    const result = await fetch(`${url}/v1/jobs/${id}/result`, { headers });
    assert.equal(result.headers.get('content-type'), 'image/png');
    const { result: key } = await mesh.over(id);
    assert.ok(Buffer.from(await result.arrayBuffer()).equals(readFileSync(mesh.blobs.localPath(key ?? ''))));
    const asked = await fetch(`${url}/v1/coordinator`, { headers });
    const seen = (await asked.json()) as { coordinator: { node: number; epoch: number } };
    assert.equal(`equalizer-${seen.coordinator.node}`, await mesh.coordinator());
  });

  it('concurrent jobs of all kinds equal the result of one process alone (I4)', async () => {
    const cases: [SpoolShape, { mode?: Mode; definition?: Definition }][] = [
      [colour, { mode: 'grey' }],
      [colour, { mode: 'per-channel', definition: 'pillow' }],
      [{ ...colour, channels: 4 }, { definition: 'vips' }],
      [{ ...colour, channels: 1 }, { definition: 'textbook' }],
      [{ ...colour, depth: 16 }, {}],
      [
        { ...colour, depth: 16, channels: 4 },
        { mode: 'per-channel', definition: 'vips' },
      ],
      [{ width: 1, height: 1, channels: 1, depth: 8 }, {}],
    ];
    const jobs = await Promise.all(
      cases.map(async ([shape, asked], index) => {
        const upload = await pngOf(shape);
        return {
          shape,
          asked,
          upload,
          id: await mesh.submit(upload, asked, `key:${index % 2}`),
        };
      }),
    );
    for (const { id, upload, shape, asked } of jobs) await sameAsAlone(id, upload, shape, asked);
  });

  it('a local equalization is done in one piece', async () => {
    const { phase, result } = await mesh.over(await mesh.submit(image, { mode: 'clahe', format: 'webp' }));
    assert.equal(phase, 'finished');
    const { facts } = await decode(mesh.blobs.localPath(result ?? ''), path.join(mesh.folder, 'clahe.spool'));
    assert.deepEqual([facts.format, facts.width, facts.height], ['webp', colour.width, colour.height]);
  });

  it('an impossible job fails with its reason and leaves no files', async () => {
    const deep = await pngOf({ ...colour, depth: 16 });
    const refused: [Buffer, JobParameters, RegExp][] = [
      [image.subarray(0, image.length - 400), {}, /image\.(truncated|damaged)/],
      [Buffer.from('no image at all'), {}, /image\.not_an_image/],
      [deep, { definition: 'opencv' }, /opencv has no 16-bit equalization/],
      [deep, { format: 'jpeg' }, /jpeg has no 16 bit/],
      [deep, { mode: 'clahe' }, /supports 8 bit only/],
    ];
    for (const [upload, parameters, why] of refused) {
      const id = await mesh.submit(upload, parameters);
      const { phase, reason } = await mesh.over(id);
      assert.equal(phase, 'failed');
      assert.match(reason ?? '', why);
      await until(
        'its files are gone',
        async () => !(await mesh.blobs.exists(`jobs/${id}/input-1`)),
        meshPatience,
      );
      assert.ok(!existsSync(mesh.blobs.localPath(`jobs/${id}/made`)));
    }
  });

  it('chunks have the published size, and an invalid one changes nothing', async () => {
    const any = new DynamicConfig<unknown>(mesh.zk, {
      path: nodesOf(mesh.root).config,
      initial: {},
      adminSecret,
      parse: (value) => value,
    });
    const rowsOfAChunk = async () => {
      const id = await mesh.submit(image);
      await sameAsAlone(id, image, colour);
      const { data } = await mesh.zk.getData(nodesOf(mesh.root).job(id));
      const { metadata } = JSON.parse(String(data)) as { metadata: { grid: { chunkHeightPixels: number } } };
      return metadata.grid.chunkHeightPixels;
    };
    assert.equal(await rowsOfAChunk(), 12);
    await any.publish({ chunk_pixels: 1_600 });
    let rows = 0;
    await until('it counts', async () => (rows = await rowsOfAChunk()) !== 12, meshPatience);
    assert.equal(rows, 10);
    await any.publish({ chunk_pixels: 'large' });
    assert.equal(await rowsOfAChunk(), 10);
    await any.publish({ chunk_pixels: 2_000 });
  });
});

describe('hazards', () => {
  let image: Buffer;
  before(async () => {
    image = await pngOf(colour);
  });
  afterEach(async () => mesh.remove());

  it('a job that is cancelled during mapping ends, and so do its tasks', async () => {
    mesh = await openTestMesh(servers, { ...log, ...many });
    await mesh.start(1);
    const id = await mesh.submit(image);
    await mesh.until(id, ({ phase }) => phase === 'mapping');
    await mesh.jobs.cancel(id);
    assert.equal((await mesh.over(id)).phase, 'cancelled');
    await until(
      'the wish is gone',
      async () => {
        const { names } = await mesh.zk.getChildren(nodesOf(mesh.root).cancellations);
        return names.length === 0;
      },
      meshPatience,
    );
    // The next job finds free partitions.
    const next = await mesh.submit(await pngOf({ ...colour, width: 2, height: 3 }));
    assert.equal((await mesh.over(next)).phase, 'finished');
  });

  it('a job whose decoded pixels are lost fails with a reason (I5)', async () => {
    mesh = await openTestMesh(servers, { ...log, ...many });
    await mesh.start(1);
    const id = await mesh.submit(image);
    await mesh.until(id, ({ phase }) => phase === 'mapping');
    await mesh.blobs.removeAll(`jobs/${id}/made/`);
    const { phase, reason } = await mesh.over(id);
    assert.equal(phase, 'failed');
    assert.match(reason ?? '', /chunk \d+ failed 3 times while (mapping|applying)/);
  });

  it('a job is forgotten after its retention, with its znodes and files', async () => {
    mesh = await openTestMesh(servers, { ...log, JOB_RETENTION_MS: '300' });
    await mesh.start(1);
    const id = await mesh.submit(image);
    await mesh.over(id);
    await until('it is forgotten', async () => (await mesh.blobs.listJobs()).length === 0, meshPatience);
    const { jobs, progressOfJobs, cancellations } = nodesOf(mesh.root);
    for (const folder of [jobs, progressOfJobs, cancellations])
      assert.deepEqual((await mesh.zk.getChildren(folder)).names, []);
  });

  it('of too many jobs the oldest that are over are forgotten early', async () => {
    mesh = await openTestMesh(servers, { ...log, ...fewRemembered });
    await mesh.start(1);
    const ids: string[] = [];
    for (let nth = 0; nth < 3; nth++) {
      ids.push(await mesh.submit(image));
      await mesh.over(ids[nth] ?? '');
    }
    const names = async () => (await mesh.zk.getChildren(nodesOf(mesh.root).jobs)).names.sort();
    await until(
      'the first is forgotten',
      async () => (await mesh.blobs.listJobs()).length === 2,
      meshPatience,
    );
    assert.deepEqual(await names(), ids.slice(1).sort());
  });

  it('a new coordinator does not restart the retention of a job', async () => {
    mesh = await openTestMesh(servers, log);
    const first = await mesh.start(1);
    const ids = [await mesh.submit(image), await mesh.submit(image)];
    for (const id of ids) await mesh.over(id);
    const [kept = '', old = ''] = ids;
    await first.stop();
    const documentOf = async (id: string) => {
      const { data } = await mesh.zk.getData(nodesOf(mesh.root).job(id));
      return JSON.parse(String(data)) as { endedAtMs: number };
    };
    const before = await documentOf(kept);
    const longAgo = { ...(await documentOf(old)), endedAtMs: Date.now() - 3_600_001 };
    await mesh.zk.setData(nodesOf(mesh.root).job(old), Buffer.from(JSON.stringify(longAgo)));
    await mesh.start(2);
    await until(
      'the old one is forgotten',
      async () => (await mesh.blobs.listJobs()).length === 1,
      meshPatience,
    );
    assert.equal((await documentOf(kept)).endedAtMs, before.endedAtMs, 'it was stored with another end');
  });

  it('a task of a job that is over is skipped and does not fail', async () => {
    mesh = await openTestMesh(servers, { ...log, ...many });
    const { node, httpPort } = await mesh.start(1);
    const id = await mesh.submit(image);
    await mesh.until(id, ({ phase }) => phase === 'mapping');
    await mesh.jobs.cancel(id);
    await mesh.over(id);
    const counted = async (what: RegExp) => what.test(await metricsOf(httpPort));
    const skipped = /tasks_skipped_total\{[^}]*job_over[^}]*\} [1-9]/;
    await until('its tasks are skipped', async () => counted(skipped), meshPatience);
    assert.ok(!(await counted(/tasks_total\{[^}]*outcome="failed"/)), 'a task was answered with a failure');
    assert.ok(node.leader.leading.length > 0);
  });

  it('nodes that join and leave during a job do not change its result', async () => {
    mesh = await openTestMesh(servers, { ...log, CHUNK_PIXELS: '100' });
    const first = await mesh.start(1);
    const id = await mesh.submit(image);
    await mesh.until(id, ({ phase }) => phase === 'mapping');
    await mesh.start(2);
    await mesh.settled('equalizer-1', 'equalizer-2');
    // It is also the coordinator: the successor starts from what Kafka and ZooKeeper hold.
    await first.stop();
    assert.equal(await mesh.coordinator(), 'equalizer-2');
    await sameAsAlone(id, image, colour);
  });

  it('the successor of a coordinator killed during mapping finishes the job (I5)', async () => {
    mesh = await openTestMesh(servers, { ...log, CHUNK_PIXELS: '200' });
    const doomed = await mesh.fork(1, { CRASH_POINT: 'equalizer.before-produce:40' });
    assert.equal(await mesh.coordinator(), 'equalizer-1');
    await mesh.start(2);
    const id = await mesh.submit(image);
    await doomed.ended;
    await sameAsAlone(id, image, colour);
    assert.equal(await mesh.coordinator(), 'equalizer-2');
  });

  it('the successor of a leader killed during a chunk does the chunk', async () => {
    mesh = await openTestMesh(servers, { ...log, CHUNK_PIXELS: '200', STRAGGLER_TIMEOUT_MS: '60000' });
    await mesh.start(1);
    await mesh.coordinator();
    const doomed = await mesh.fork(2, { CRASH_POINT: 'equalizer.mid-chunk:3' });
    await mesh.settled('equalizer-1', 'equalizer-2');
    const id = await mesh.submit(image);
    await doomed.ended;
    await sameAsAlone(id, image, colour);
  });

  it('a coordinator that was paused and wakes after its successor changes nothing', async () => {
    mesh = await openTestMesh(servers, { ...log, CHUNK_PIXELS: '1000', JOB_RETENTION_MS: '600000' });
    const paused = await mesh.fork(1, { CRASH_POINT: 'equalizer.before-stitched:1:stop' });
    assert.equal(await mesh.coordinator(), 'equalizer-1');
    const successor = await mesh.start(2);
    const id = await mesh.submit(image);
    await until('it is replaced', () => successor.node.coordinator.epoch !== undefined, meshPatience);
    await sameAsAlone(id, image, colour);
    const path = nodesOf(mesh.root).job(id);
    const { stat: before } = await mesh.zk.getData(path);
    process.kill(paused.pid, 'SIGCONT');
    await until(
      'it has heard of its end',
      async () => {
        const metrics = await (await fetch(`${paused.url}/metrics`)).text();
        return /thermomesh_equalizer_terms_total\{[^}]*\} 1/.test(metrics);
      },
      meshPatience,
    );
    assert.equal((await mesh.zk.getData(path)).stat.mzxid, before.mzxid, 'it has written');
    assert.equal(await mesh.coordinator(), 'equalizer-2');
    await sameAsAlone(await mesh.submit(image), image, colour);
  });
});

describe('outages of servers', () => {
  afterEach(async () => mesh.remove());

  // Its waits together may take longer than the limit of a test; the error names the wait that
  // fails.
  it('a node that cannot read from Kafka is not ready until it can', { timeout: 480_000 }, async () => {
    mesh = await openTestMesh(servers, log);
    const idle = (await mesh.start(1)).httpPort;
    await until('it is ready', async () => Object.keys(await reasonsOf(idle)).length === 0, meshPatience);
    const [broker] = servers.members;
    await broker?.kill();
    // The node has nothing to send, so only its readers notice.
    await until('it is not ready', async () => 'kafka' in (await reasonsOf(idle)), meshPatience);
    assert.match((await reasonsOf(idle))['kafka'] ?? '', /\.(tasks|results) is not read$/);
    const late = (await mesh.start(2)).httpPort;
    assert.equal((await reasonsOf(late))['kafka'], 'the topics do not exist yet');
    await broker?.restart();
    for (const port of [idle, late])
      await until(
        'both are ready',
        async () => Object.keys(await reasonsOf(port)).length === 0,
        meshPatience,
      );
  });

  it('a job survives an outage of ZooKeeper and Kafka; no node is ready meanwhile', async () => {
    mesh = await openTestMesh(servers, { ...log, ...many });
    const service = await mesh.start(1);
    // A job that takes long enough to be interrupted while it is mapped.
    const image = await pngOf(colour);
    const id = await mesh.submit(image);
    await mesh.until(id, ({ phase }) => phase === 'mapping');
    const [broker] = servers.members;
    const [zookeeper] = servers.zookeeper.members;
    assert.ok(broker && zookeeper);
    await Promise.all([zookeeper.kill(), broker.kill()]);
    const ready = async () => (await fetch(`http://127.0.0.1:${service.httpPort}/readyz`)).status;
    await until('it is not ready', async () => (await ready()) === 503, meshPatience);
    await zookeeper.restart();
    await broker.restart();
    await sameAsAlone(id, image, colour);
    await until('it is ready', async () => (await ready()) === 200, meshPatience);
  });
});
