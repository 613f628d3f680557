import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import {
  ChaosDocument,
  documentFaults,
  EqualizeDocument,
  ImageJobs,
  StatusDocument,
} from '@thermomesh/contracts';
import { makeSamples, parseSchedule, startMesh, until, type MeshHandle, type Sample } from '@thermomesh/mesh';
import { waitMs } from './support.ts';

const bin = path.join(import.meta.dirname, '../../tools/mesh/bin/mesh.mjs');

describe('images in a mesh', () => {
  let mesh: MeshHandle;
  let folder: string;
  let samples: Sample[];
  const at = (name: string) => path.join(folder, name);

  before(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-images-'));
    const chunks = { CHUNK_PIXELS: '40000' };
    const env = { 'equalizer-1': chunks, 'equalizer-2': chunks, 'equalizer-3': chunks };
    mesh = await startMesh({ nodes: 1, equalizers: 3, env });
    samples = await makeSamples(mesh.mesh.config, at('samples'), 200);
  });
  after(async () => {
    await mesh.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The command against this mesh. */
  function start(...words: string[]) {
    const env = { ...process.env, MESH_HOME: mesh.home };
    return spawn(process.execPath, [bin, ...words, '--name', 'test'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
  async function run(...words: string[]): Promise<{ code: number | null; out: string; said: string }> {
    const child = start(...words);
    const code = new Promise<number | null>((resolve) => child.once('close', resolve));
    const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: await code, out, said };
  }
  const parsed = (out: string, schema: Parameters<typeof documentFaults>[0]) => {
    const document: unknown = JSON.parse(out);
    assert.deepEqual(documentFaults(schema, document), []);
    return document;
  };

  it('mesh equalize goes through the gateway, saves what one process alone would make, and draws before and after', async () => {
    const { file, expected } = samples[0]!;
    const done = await run('equalize', file, '--out', at('out.png'), '--picture', at('both.png'), '--json');
    assert.equal(done.code, 0, done.said);
    const document = parsed(done.out, EqualizeDocument) as EqualizeDocument;
    assert.ok(readFileSync(at('out.png')).equals(readFileSync(expected)));
    assert.equal(document.bytes, readFileSync(expected).length);
    assert.equal(readFileSync(at('both.png')).subarray(1, 4).toString(), 'PNG');
    const listed = await run('equalize', '--jobs', '--json');
    const { jobs } = parsed(listed.out, ImageJobs) as ImageJobs;
    assert.deepEqual(
      jobs.map(({ id, phase }) => [id, phase]),
      [[document.job.id, 'finished']],
    );
    // By the gateway alone: whoever it asks, the caller is the same.
    const through = await run('equalize', file, '--out', at('again.png'), '--url', mesh.httpUrl);
    assert.equal(through.code, 0, through.said);
    const status = parsed((await run('status', '--json')).out, StatusDocument) as StatusDocument;
    assert.match(JSON.stringify(status.equalizerCoordinator), /^\{"node":[123],"epoch":\d+\}$/);
  });

  it('what is refused is one clear line, exit code 1, no file and no job', async () => {
    writeFileSync(at('text.png'), 'no image at all');
    const before = await run('equalize', '--jobs', '--json');
    for (const [words, why] of [
      [[at('text.png')], /neither JPEG, PNG, WebP nor TIFF/],
      [[samples.find(({ kind }) => kind === 'rgb-16')!.file, '--mode', 'clahe'], /8 bit alone/],
      [[at('nowhere.png')], /there is no file/],
      [[samples[0]!.file, '--key', 'tmk_000000000000_wrong'], /key/],
    ] as const) {
      const { code, out, said } = await run('equalize', ...words, '--out', at('none.png'));
      assert.notEqual(code, 0);
      assert.equal(out, '');
      assert.match(said, why);
      assert.equal(said.trim().split('\n').length, 1, said);
    }
    assert.throws(() => readFileSync(at('none.png')), { code: 'ENOENT' });
    assert.equal((await run('equalize', '--jobs', '--json')).out, before.out);
  });

  it('Ctrl-C cancels the job', async () => {
    const jobs = async () => (JSON.parse((await run('equalize', '--jobs', '--json')).out) as ImageJobs).jobs;
    // No task leaves while the broker is frozen: the job stays open.
    const broker = await mesh.kill('kafka-1', 'SIGSTOP');
    let id: string;
    try {
      const child = start('equalize', samples[1]!.file, '--out', at('cancelled.png'));
      const code = new Promise<number | null>((resolve) => child.once('close', resolve));
      const open = async () => (await jobs()).find(({ phase }) => phase !== 'finished')?.id;
      id = await until({ what: 'the job to be open', timeoutMs: waitMs }, open);
      child.kill('SIGINT');
      assert.equal(await code, 1);
    } finally {
      process.kill(broker.pid, 'SIGCONT');
    }
    await until({ what: 'the job to be cancelled', timeoutMs: waitMs }, async () =>
      (await jobs()).some((job) => job.id === id && job.phase === 'cancelled'),
    );
    await mesh.whole();
  });

  it('the coordinator and a worker killed, frozen and ended in order, under readings and jobs: accepted is finished, all identical', async (t) => {
    const steps = parseSchedule(
      JSON.stringify([
        { atMs: 0, target: 'equalizer-coordinator', signal: 'KILL' },
        { atMs: 0, target: 'equalizer-worker', signal: 'KILL' },
        { atMs: 0, target: 'equalizer-coordinator', signal: 'STOP', pauseMs: 4_000 },
        { atMs: 0, target: 'equalizer-coordinator', signal: 'TERM' },
        { atMs: 0, target: 'gateway', signal: 'KILL' },
      ]),
    );
    const load = { devices: 5, rate: 50, jobsPerSecond: 2 };
    const document = await mesh.chaos({ target: 'schedule', steps, load });
    assert.deepEqual(documentFaults(ChaosDocument, document), []);
    assert.ok(document.ok, JSON.stringify(document, undefined, 1));
    const { jobs } = document;
    assert.ok(jobs);
    assert.equal(jobs.accepted, jobs.finished);
    assert.ok(jobs.identical && jobs.failed === 0);
    const { failoverMs } = document;
    t.diagnostic(`failover max ${Math.round(failoverMs?.max ?? NaN)} ms; ${JSON.stringify(jobs.addedMs)}`);
  });
});
