import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decodeHistogram,
  encodeTables,
  HistogramMerge,
  lookupTablesOf,
  planEqualization,
} from '@thermomesh/equalization';
import type { MeshError } from '@thermomesh/runtime';
import { outputLike } from '../image/index.ts';
import { imageOf, noise, place, spoolPixels } from '../image/testing/samples.ts';
import { equalizeHere } from '../image/testing/here.ts';
import { createImageWorkers, type ImageWorkersOptions } from './pool.ts';

const entry = new URL('./testing/odd-thread.ts', import.meta.url);
const ask = (file: string) => ({ kind: 'identify', file }) as const;
const odd = (options: ImageWorkersOptions = {}) => createImageWorkers({ threads: 1, entry, ...options });

describe('image workers', () => {
  it('an image processed by workers equals one processed in this thread', async () => {
    using files = place();
    const shape = { width: 40, height: 30, channels: 4, depth: 16 } as const;
    await imageOf(shape, noise(shape, 3, 5_000))
      .png()
      .toFile(files.at('in'));
    const workers = createImageWorkers({ threads: 2 });
    try {
      const [spool, result] = [files.at('spool'), files.at('result')];
      const decoded = await workers.run({ kind: 'decode', file: files.at('in'), spool });
      assert.deepEqual(decoded.facts, await workers.run({ kind: 'identify', file: files.at('in') }));
      const plan = planEqualization(decoded.shape);
      const parts = [0, 10, 20].map((top) => ({ left: 0, top, width: 40, height: 10 }));
      const merge = new HistogramMerge(plan, new Map(parts.map(({ top }) => [`${top}`, 400])));
      await Promise.all(
        parts.map(async (rectangle) => {
          const { counts } = await workers.run({ kind: 'histogram', spool, shape, plan, rectangle });
          merge.put(`${rectangle.top}`, decodeHistogram(plan, counts));
        }),
      );
      const tables = encodeTables(lookupTablesOf(plan, merge.totals()));
      await workers.run({ kind: 'prepare', spool, result, channels: plan.outputChannels });
      await Promise.all(
        parts.map(async (rectangle) =>
          workers.run({ kind: 'apply', spool, shape, plan, tables, rectangle, result }),
        ),
      );
      await workers.run({
        kind: 'encode',
        spool: result,
        file: files.at('out'),
        output: outputLike(decoded.facts),
      });
      await workers.run({ kind: 'decode', file: files.at('out'), spool: files.at('again') });
      const expected = await equalizeHere(files.at('in'), files.at('here'), plan);
      assert.ok(spoolPixels(files.at('again'), shape).equals(expected));
    } finally {
      await workers.close();
    }
  });

  it('a refusal keeps its code, and a missing file is retriable', async () => {
    using files = place();
    const workers = createImageWorkers({ threads: 1 });
    try {
      await assert.rejects(workers.run(ask(files.at('absent'))), { code: 'image.io', retriable: true });
      await assert.rejects(workers.run(ask('/')), (error: MeshError) => error.code !== undefined);
    } finally {
      await workers.close();
    }
  });

  for (const how of ['throw', 'exit']) {
    it(`a thread that ends by ${how} fails only its own task`, async () => {
      const crashes: string[] = [];
      const workers = odd({ onCrash: (error) => crashes.push(error.code) });
      const first = workers.run(ask(how));
      const second = workers.run(ask('answer'));
      await assert.rejects(first, { code: 'worker.crashed', retriable: true });
      assert.deepEqual(await second, { answered: true });
      assert.deepEqual(crashes, ['worker.crashed']);
      await workers.close();
    });
  }

  it('a task that never ends is abandoned, and the next one runs', async () => {
    const workers = odd({ taskTimeoutMs: 300 });
    const first = workers.run(ask('hang'));
    const second = workers.run(ask('answer'));
    await assert.rejects(first, { code: 'worker.timed_out', retriable: false });
    // A new thread takes its time to start on a busy machine: the second may run into the limit,
    // but it is never lost.
    await second.catch((error: unknown) => {
      assert.equal((error as MeshError).code, 'worker.timed_out');
    });
    await workers.close();
  });

  it('a task beyond the queue is refused, and a cancelled one frees its place', async () => {
    const workers = odd({ queueMax: 1 });
    const running = workers.run(ask('hang'));
    const abort = new AbortController();
    const waiting = workers.run(ask('answer'), abort.signal);
    assert.deepEqual([workers.running, workers.waiting], [1, 1]);
    await assert.rejects(workers.run(ask('answer')), { code: 'worker.queue_full', retriable: true });
    abort.abort();
    await assert.rejects(waiting, { code: 'worker.cancelled' });
    assert.equal(workers.waiting, 0);
    await assert.rejects(workers.run(ask('answer'), abort.signal), { code: 'worker.cancelled' });
    await Promise.all([assert.rejects(running, { code: 'worker.closed' }), workers.close(0)]);
  });

  it('a cancelled task that runs is answered when it ends, without its result', async () => {
    const workers = odd();
    const abort = new AbortController();
    const task = workers.run(ask('answer'), abort.signal);
    abort.abort();
    await assert.rejects(task, { code: 'worker.cancelled' });
    assert.deepEqual(await workers.run(ask('answer')), { answered: true });
    await workers.close();
  });

  it('close answers every task and is idempotent', async () => {
    const workers = odd();
    const answers = [workers.run(ask('hang')), workers.run(ask('answer'))].map(async (task) =>
      assert.rejects(task, { code: 'worker.closed' }),
    );
    const ended = workers.close(0);
    assert.equal(workers.close(), ended);
    await Promise.all(answers);
    await ended;
    await assert.rejects(workers.run(ask('answer')), { code: 'worker.closed' });
    assert.equal(workers.running, 0);
  });

  it('warm threads accept tasks and do not delay the close', async () => {
    const workers = odd({ threads: 2 });
    workers.warm();
    assert.equal(workers.running, 0);
    assert.deepEqual(await workers.run(ask('answer')), { answered: true });
    await workers.close();
    workers.warm();
  });

  it('close waits for running tasks', async () => {
    const workers = odd();
    const running = workers.run(ask('answer'));
    await Promise.all([workers.close(60_000), running]);
  });
});
