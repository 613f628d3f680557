import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ResultRecord, TaskRecord } from '@thermomesh/contracts';
import {
  defaultMapReduceLimits,
  initialState,
  type CoordinatorEvent,
  type Timer,
} from '@thermomesh/mapreduce';
import { createLog } from '@thermomesh/runtime';
import { DeposedError } from '../core/errors.ts';
import { CoordinatorTerm, type EffectHandlers, type TermOptions } from './term.ts';

const epoch = 7;
const image = { key: 'jobs/a/made/spool-7', widthPixels: 10, heightPixels: 4, channels: 1, bitDepth: 8 };
const submitted: CoordinatorEvent = {
  type: 'submitted',
  id: 'a',
  number: 1,
  caller: 'ann',
  input: 'jobs/a/input',
  parameters: {},
};
const decoded: CoordinatorEvent = { type: 'decoded', jobId: 'a', image, chunkPixelsMax: 10 };

/** A term whose handlers log their calls; `over` replaces some of them. */
function termOf(over: Partial<EffectHandlers> = {}) {
  const done: string[] = [];
  const armed = new Map<string, () => void>();
  const abort = new AbortController();
  const handlers: EffectHandlers = {
    store: async ({ job }) => void done.push(`store ${job.phase}`),
    produce: async ({ task }) => void done.push(`produce ${task.chunk}`),
    begin: ({ type }) => void done.push(type),
    abandon: () => void done.push('abandon'),
    forget: async () => void done.push('forget'),
    refuse: ({ why }) => void done.push(`refuse ${why}`),
    ...over,
  };
  const name = (timer: Timer) => (timer.kind === 'straggler' ? `chunk ${timer.chunk}` : 'retention');
  const options: TermOptions = {
    initial: initialState(epoch, { ...defaultMapReduceLimits, taskPartitions: 2 }),
    handlers,
    timers: {
      arm: (timer, _afterMs, fire) => {
        armed.set(name(timer), fire);
        done.push(`arm ${name(timer)}`);
      },
      disarm: (timer) => void armed.delete(name(timer)),
      clear: () => armed.clear(),
    },
    log: createLog('test', 'silent'),
    signal: abort.signal,
    onState: () => undefined,
  };
  return { term: new CoordinatorTerm(options), done, armed, abort };
}

const recordOf = (chunk: number): ResultRecord => ({
  type: 'equalizer.result.v1',
  jobId: 'a',
  phase: 'mapping',
  chunk,
  attempt: 1,
  coordinatorEpoch: epoch,
  partition: 0,
  partitionEpoch: 1,
  outcome: { kind: 'done', digest: 'd', output: { kind: 'counts', channels: [[1]] } },
});
const resultOf = (chunk: number): CoordinatorEvent => ({ type: 'result', record: recordOf(chunk) });
const deposed = () => new DeposedError({ path: '/seat', epoch: 7n });

describe('a term', () => {
  it('a plan is durable before its first task is sent', async () => {
    const { term, done } = termOf();
    await term.feed(submitted);
    await term.feed(decoded);
    assert.deepEqual(done.slice(0, 4), ['store queued', 'store decoding', 'decode', 'store mapping']);
    assert.deepEqual(
      done.filter((what) => what.startsWith('produce')),
      [0, 1, 2, 3].map((chunk) => `produce ${chunk}`),
    );
  });

  it('after a store that the fence refuses, no effect is carried out (I4)', async () => {
    let stores = 0;
    const { term, done } = termOf({
      store: async () => {
        if (++stores === 3) throw deposed();
      },
    });
    await term.feed(submitted);
    await term.feed(decoded);
    assert.equal(await term.ended, 'deposed');
    assert.deepEqual(done, ['decode']);
    assert.ok(term.state.deposed);
    await term.feed(resultOf(0));
    assert.deepEqual(done, ['decode'], 'a deposed coordinator acted');
  });

  it('the timeout of a task starts when the brokers have stored it, not before', async () => {
    const taken = new Map<number, () => void>();
    const { term, done } = termOf({
      produce: async ({ task }: { task: TaskRecord }) =>
        new Promise<void>((resolve) => taken.set(task.chunk, resolve)),
    });
    await term.feed(submitted);
    const planned = term.feed(decoded);
    while (taken.size < 4) await new Promise(setImmediate);
    assert.ok(!done.some((what) => what.startsWith('arm')));
    const heard = term.feed(resultOf(0));
    taken.get(2)?.();
    await new Promise(setImmediate);
    assert.deepEqual(done.slice(-1), ['arm chunk 2']);
    for (const chunk of [0, 1, 3]) taken.get(chunk)?.();
    await planned;
    await heard;
    assert.deepEqual(done.slice(-3).sort(), ['arm chunk 0', 'arm chunk 1', 'arm chunk 3']);
  });

  it('the result of the last chunk starts the reduction exactly once', async () => {
    const { term, done } = termOf();
    await term.feed(submitted);
    await term.feed(decoded);
    for (const chunk of [3, 1, 1, 0, 2, 2]) await term.feed(resultOf(chunk));
    const after = done.slice(done.indexOf('arm chunk 3') + 1);
    assert.deepEqual(after, ['refuse repeated', 'reduce', 'refuse repeated']);
  });

  it('a term whose lease is over has no timers and handles no events', async () => {
    const { term, armed, abort, done } = termOf();
    await term.feed(submitted);
    await term.feed(decoded);
    assert.equal(armed.size, 4);
    const before = done.length;
    abort.abort();
    assert.equal(await term.ended, 'stopped');
    assert.equal(armed.size, 0);
    await term.feed(resultOf(0));
    assert.equal(done.length, before);
  });

  it('a term ends when an effect fails permanently', async () => {
    const { term } = termOf({ produce: async () => Promise.reject(new Error('refused')) });
    await term.feed(submitted);
    await term.feed(decoded);
    assert.equal(await term.ended, 'failed');
  });
});
