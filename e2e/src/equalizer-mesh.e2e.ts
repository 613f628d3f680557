import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  ChaosDocument,
  documentIssues,
  EqualizeDocument,
  ImageJobs,
  StatusDocument,
} from '@thermomesh/contracts';
import {
  makeSamples,
  parseSchedule,
  startMesh,
  until,
  type MeshHandle,
  type Sample,
} from '@thermomesh/mesh/testing';
import { cliOf } from './cli-support.ts';
import { waitMs } from './support.ts';

describe('images in a mesh', () => {
  let mesh: MeshHandle;
  let folder: string;
  let samples: Sample[];
  const at = (name: string) => path.join(folder, name);

  before(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-images-'));
    const chunks = { CHUNK_PIXELS: '6000' };
    const env = { 'equalizer-1': chunks, 'equalizer-2': chunks, 'equalizer-3': chunks };
    mesh = await startMesh({ nodes: 1, equalizers: 3, env });
    samples = await makeSamples(mesh.mesh.config, at('samples'), 200);
  });
  after(async () => {
    await mesh.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const cli = cliOf(() => ({ ...process.env, MESH_HOME: mesh.home }));
  /** Runs the command against this mesh. */
  const run: typeof cli.mesh = async (...words) => cli.mesh(...words, '--name', 'test');
  const json: typeof cli.json = async (schema, ...words) => cli.json(schema, ...words, '--name', 'test');

  it('mesh equalize saves the image that one process alone makes, and a comparison', async () => {
    const { file, expected } = samples[0]!;
    const words = ['equalize', file, '--out', at('out.png'), '--picture', at('both.png')];
    const document = await json(EqualizeDocument, ...words);
    assert.ok(readFileSync(at('out.png')).equals(readFileSync(expected)));
    assert.equal(document.bytes, readFileSync(expected).length);
    assert.equal(readFileSync(at('both.png')).subarray(1, 4).toString(), 'PNG');
    const { jobs } = await json(ImageJobs, 'equalize', '--jobs');
    assert.deepEqual(
      jobs.map(({ id, phase }) => [id, phase]),
      [[document.job.id, 'finished']],
    );
    // Through the gateway only: the caller is the same at whichever node the gateway asks.
    const through = await run('equalize', file, '--out', at('again.png'), '--url', mesh.httpUrl);
    assert.equal(through.code, 0, through.stderr);
    const status = await json(StatusDocument, 'status');
    assert.match(JSON.stringify(status.equalizerCoordinator), /^\{"node":[123],"epoch":\d+\}$/);
  });

  it('mesh kafka shows the topics, their offsets, and how far the readers are behind', async () => {
    const kafka = async <T>(what: string): Promise<T> => {
      const { code, stdout, stderr } = await run('kafka', what, '--json');
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as T;
    };
    const { topics } = await kafka<{ topics: { topic: string; records: number }[] }>('topics');
    const names = topics.map(({ topic }) => topic.split('.').at(-1));
    assert.deepEqual(names.sort(), ['results', 'tasks']);
    assert.ok(topics.every(({ records }) => records > 0));
    type Row = { topic: string; reader: string; end: number; position: number | null; lag: number | null };
    const offsets = await kafka<{ partitions: { start: number; end: number }[] }>('offsets');
    const { partitions } = await kafka<{ partitions: Row[] }>('lag');
    assert.equal(partitions.length, offsets.partitions.length);
    // The tasks of the job above are answered, and a leader saves each answer.
    const tasks = partitions.filter(({ topic, end }) => topic.endsWith('.tasks') && end > 0);
    assert.ok(tasks.length > 0);
    for (const row of tasks) assert.deepEqual([row.reader, row.position !== null], ['leader', true]);
  });

  it('a refused image prints one clear line, fails, and leaves no file and no job', async () => {
    writeFileSync(at('text.png'), 'no image at all');
    const before = await run('equalize', '--jobs', '--json');
    for (const [words, why] of [
      [[at('text.png')], /neither JPEG, PNG, WebP nor TIFF/],
      [[samples.find(({ kind }) => kind === 'rgb-16')!.file, '--mode', 'clahe'], /supports 8 bit only/],
      [[at('nowhere.png')], /there is no file/],
      [[samples[0]!.file, '--key', 'tmk_000000000000_wrong'], /key/],
    ] as const) {
      const { code, stdout, stderr } = await run('equalize', ...words, '--out', at('none.png'));
      assert.notEqual(code, 0);
      assert.equal(stdout, '');
      assert.match(stderr, why);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
    assert.throws(() => readFileSync(at('none.png')), { code: 'ENOENT' });
    assert.equal((await run('equalize', '--jobs', '--json')).stdout, before.stdout);
  });

  it('Ctrl-C of mesh equalize cancels its job', async () => {
    const jobs = async () => (await json(ImageJobs, 'equalize', '--jobs')).jobs;
    // No task is sent while the broker is frozen, so the job stays open.
    const broker = await mesh.kill('kafka-1', 'SIGSTOP');
    let id: string;
    try {
      const command = cli.start('equalize', samples[1]!.file, '--out', at('cancelled.png'), '--name', 'test');
      const open = async () => (await jobs()).find(({ phase }) => phase !== 'finished')?.id;
      id = await until({ what: 'the job to be open', timeoutMs: waitMs }, open);
      command.child.kill('SIGINT');
      assert.equal(await command.ended, 1);
    } finally {
      process.kill(broker.pid, 'SIGCONT');
    }
    await until({ what: 'the job to be cancelled', timeoutMs: waitMs }, async () =>
      (await jobs()).some((job) => job.id === id && job.phase === 'cancelled'),
    );
    await mesh.whole();
  });

  it('accepted jobs give equal images though coordinator and gateway are killed', async (t) => {
    const steps = parseSchedule(
      JSON.stringify([
        { atMs: 0, target: 'equalizer-coordinator', signal: 'KILL' },
        { atMs: 0, target: 'equalizer-coordinator', signal: 'STOP', pauseMs: 3_000 },
        { atMs: 0, target: 'equalizer-worker', signal: 'KILL' },
        { atMs: 0, target: 'gateway', signal: 'KILL' },
      ]),
    );
    const jobs = { perSecond: 2, sidePixels: 240, undisturbedRounds: 1 };
    const load = { devices: 5, rate: 50, jobs };
    const document = await mesh.chaos({ target: 'schedule', steps, load });
    assert.deepEqual(documentIssues(ChaosDocument, document), []);
    assert.ok(document.ok, JSON.stringify(document, undefined, 1));
    const { jobs: seen, failoverMs } = document;
    assert.ok(seen);
    assert.equal(seen.accepted, seen.finished);
    assert.ok(seen.identical && seen.failed === 0);
    t.diagnostic(`failover max ${Math.round(failoverMs?.max ?? NaN)} ms; ${JSON.stringify(seen.addedMs)}`);
  });
});
