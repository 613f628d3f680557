import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { encodeTask, type PartitionProgress, type TaskRecord } from '@thermomesh/contracts';
import { defaultLeaderLimits, type Outcome } from '@thermomesh/mapreduce';
import { createLog, createMetrics } from '@thermomesh/runtime';
import type { Lease } from '@thermomesh/zookeeper';
import { DeposedError } from '../core/errors.ts';
import { createEqualizerMetrics } from '../metrics.ts';
import { obsolete } from './obsolete-tasks.ts';
import { Partition, type PartitionOptions } from './partition.ts';

const done: Outcome = { kind: 'done', digest: 'd', output: { kind: 'counts', channels: [] } };
const registry = createMetrics({ defaults: false });
const metrics = createEqualizerMetrics(registry);
const open: AbortController[] = [];
afterEach(() => {
  for (const lease of open.splice(0)) lease.abort();
});

function leaseOf(epoch: number): { lease: Lease; end: () => void } {
  const ending = new AbortController();
  open.push(ending);
  return {
    lease: { epoch: BigInt(epoch), path: '/seat', signal: ending.signal } as Lease,
    end: () => ending.abort(),
  };
}

/** A partition whose surroundings log every call. */
function partitionOf(over: { work?: PartitionOptions['work']; save?: () => Promise<void> } = {}) {
  const calls: string[] = [];
  let saved: PartitionProgress | null = null;
  const partition = new Partition({
    partition: 0,
    limits: { ...defaultLeaderLimits, progressEveryTasks: 1 },
    records: {
      ensure: async () => undefined,
      taskEnds: async () => new Map([[0, 0]]),
      sendResult: async ({ chunk, partitionEpoch }) =>
        void calls.push(`answer ${chunk} of epoch ${partitionEpoch}`),
    },
    reader: () => ({
      lead: (_, offset) => void calls.push(`read from ${offset}`),
      release: async () => void calls.push('release'),
    }),
    progressUnder: ({ epoch }) => ({
      read: async () => saved,
      save: async (_, progress) => {
        await over.save?.();
        saved = progress;
        calls.push(`save ${progress.offset} under ${epoch}`);
      },
    }),
    work: over.work ?? (async () => done),
    metrics,
    log: createLog('test', 'silent'),
    crash: () => undefined,
  });
  return { partition, calls };
}

function record(offset: number, chunk = offset) {
  const task: TaskRecord = {
    type: 'equalizer.task.v1',
    jobId: 'a',
    phase: 'mapping',
    chunk,
    attempt: 1,
    coordinatorEpoch: 5,
    failures: 0,
    table: null,
    parameters: {},
    rectangle: { left: 0, top: 0, width: 1, height: 1 },
    image: { key: 'k', widthPixels: 1, heightPixels: 1, channels: 1, bitDepth: 8 },
  };
  return { partition: 0, offset, key: null, value: encodeTask(task), timestampMs: 0 };
}

describe('a partition', () => {
  it('a task is answered before the progress that counts it is saved', async () => {
    const { partition, calls } = partitionOf();
    await partition.gained(leaseOf(3).lease);
    await partition.handle(record(0));
    assert.deepEqual(calls, ['read from 0', 'answer 0 of epoch 3', 'save 1 under 3']);
  });

  it('a task in flight is not answered when its partition is lost', async () => {
    const working = Promise.withResolvers<Outcome>();
    let wasAborted = false;
    const { partition, calls } = partitionOf({
      work: async (_, signal) => {
        signal.addEventListener('abort', () => (wasAborted = true));
        return working.promise;
      },
    });
    const { lease, end } = leaseOf(3);
    await partition.gained(lease);
    const handled = partition.handle(record(0));
    await new Promise(setImmediate);
    end();
    await partition.lost(lease);
    assert.ok(wasAborted);
    working.resolve(done);
    await handled;
    assert.deepEqual(calls, ['read from 0', 'release']);
  });

  it('progress of an old lease is not written under the next one', async () => {
    const { partition, calls } = partitionOf();
    const first = leaseOf(3);
    await partition.gained(first.lease);
    const handled = partition.handle(record(0));
    first.end();
    const lost = partition.lost(first.lease);
    await partition.gained(leaseOf(4).lease);
    await Promise.all([handled, lost]);
    assert.ok(!calls.some((what) => what.endsWith('under 4')), calls.join(', '));
    await partition.handle(record(0));
    assert.equal(calls.at(-1), 'save 1 under 4');
  });

  it('a partition stops when the fence refuses its progress', async () => {
    const { lease } = leaseOf(3);
    const { partition, calls } = partitionOf({ save: async () => Promise.reject(new DeposedError(lease)) });
    await partition.gained(lease);
    await partition.handle(record(0));
    assert.deepEqual(calls, ['read from 0', 'answer 0 of epoch 3', 'release']);
    await partition.handle(record(1));
    assert.equal(calls.length, 3);
  });

  it('a record that is not a task is skipped', async () => {
    const { partition, calls } = partitionOf();
    await partition.gained(leaseOf(3).lease);
    await partition.handle({ ...record(0), value: Buffer.from('{}') });
    await partition.handle(record(1));
    assert.deepEqual(calls.slice(1), ['save 1 under 3', 'answer 1 of epoch 3', 'save 2 under 3']);
  });

  it('a task of a job that is over is counted as skipped and not answered', async () => {
    const { partition, calls } = partitionOf({ work: async ({ chunk }) => (chunk === 0 ? obsolete : done) });
    await partition.gained(leaseOf(3).lease);
    await partition.handle(record(0));
    await partition.handle(record(1));
    assert.deepEqual(calls, ['read from 0', 'save 1 under 3', 'answer 1 of epoch 3', 'save 2 under 3']);
    assert.match(await registry.registry.metrics(), /tasks_skipped_total\{[^}]*why="job_over"[^}]*\} 1/);
  });

  it('a partition finishes the task in flight before it is handed over', async () => {
    const { partition, calls } = partitionOf();
    await partition.gained(leaseOf(3).lease);
    await partition.handle(record(0));
    await partition.handOver();
    assert.deepEqual(calls.slice(-2), ['save 1 under 3', 'release']);
  });
});
