import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  backoffMs,
  createBackoff,
  createSequencer,
  isRetriable,
  raceAbort,
  raceTimeout,
  sleep,
} from './async.ts';
import { MeshError } from './errors.ts';

const never = new Promise<never>(() => undefined);

describe('raceAbort', () => {
  it('work that finishes before an abort wins the race', async () =>
    assert.equal(await raceAbort(Promise.resolve(7), new AbortController().signal), 7));

  it('an abort rejects the race with its reason', async () => {
    const controller = new AbortController();
    const racing = raceAbort(never, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(racing, /enough/);
    await assert.rejects(raceAbort(never, AbortSignal.abort(new Error('before'))), /before/);
  });
});

describe('raceTimeout', () => {
  it('work that finishes before the timeout wins the race', async () =>
    assert.equal(await raceTimeout(Promise.resolve(7), 60_000, () => new Error('late')), 7));

  it('late work rejects the race with the error of the caller', async () =>
    assert.rejects(
      raceTimeout(never, 1, () => new Error('late')),
      /late/,
    ));
});

describe('sleep', () => {
  it('an abort ends a pause at once, without an error', async () => {
    await sleep(3_600_000, AbortSignal.abort());
    const controller = new AbortController();
    const sleeping = sleep(3_600_000, controller.signal);
    controller.abort();
    await sleeping;
  });
});

describe('a sequencer', () => {
  it('a sequencer runs one piece of work after another, even after a failure', async () => {
    const inSequence = createSequencer();
    const seen: string[] = [];
    const first = Promise.withResolvers<undefined>();
    const failing = inSequence(async () => {
      await first.promise;
      seen.push('first');
      throw new Error('broken');
    });
    const second = inSequence(async () => seen.push('second'));
    first.resolve(undefined);
    await assert.rejects(failing, /broken/);
    await second;
    assert.deepEqual(seen, ['first', 'second']);
  });
});

describe('a backoff', () => {
  it('pauses grow to the limit and are short again after a reset', async () => {
    const pauses: number[] = [];
    const record = async (ms: number) => void pauses.push(ms);
    const backoff = createBackoff({ minMs: 10, maxMs: 35 }, () => 1, record);
    const { signal } = new AbortController();
    for (let i = 0; i < 4; i++) await backoff.wait(signal);
    backoff.reset();
    await backoff.wait(signal);
    assert.deepEqual(pauses, [10, 20, 35, 35, 10]);
  });

  it('jitter spreads a pause over the whole range above the floor', () => {
    assert.equal(backoffMs(5, { minMs: 10, maxMs: 1000 }, 0), 10);
    assert.equal(backoffMs(5, { minMs: 10, maxMs: 1000 }, 0.5), 85);
    assert.equal(backoffMs(1000, { minMs: 10, maxMs: 1000 }, 0.5), 505);
  });
});

it('only an error that is marked as retriable is retriable', () => {
  assert.equal(isRetriable(new MeshError('a.b', 'passing', { retriable: true })), true);
  assert.equal(isRetriable(new MeshError('a.b', 'final')), false);
  assert.equal(isRetriable(new Error('unknown')), false);
  assert.equal(isRetriable(undefined), false);
});
