import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { defaultMapReduceLimits, recover, type CoordinatorState, type Timer } from '@thermomesh/mapreduce';
import type { StoredJob } from '../adapters/zookeeper-job-store.ts';
import { createRetention } from './retention.ts';

interface Told {
  id: string;
  phase?: JobMetadata['phase'];
  caller?: string;
  endedAtMs?: number;
  writtenAtMs?: number;
}

/** Jobs as they lie in ZooKeeper. */
function stored(jobs: readonly Told[]): StoredJob[] {
  return jobs.map(({ id, phase = 'finished', caller = 'ann', endedAtMs, writtenAtMs = 0 }, number) => {
    const common = { id, caller, input: `jobs/${id}/input`, parameters: {} };
    const metadata: JobMetadata = {
      ...{ ...common, number, phase, phaseEpoch: 1, restarts: 0, turn: null },
      ...{ image: null, grid: null, table: null, result: null, reason: null },
    };
    const submission = { ...common, fileName: 'a.png', submittedAtMs: 0 };
    const end = endedAtMs === undefined ? {} : { endedAtMs };
    return { id, number, writtenAtMs, document: { submission, metadata, ...end } };
  });
}

function stateOf(jobs: readonly StoredJob[]): CoordinatorState {
  const known = jobs.flatMap(({ document }) => document.metadata ?? []);
  return recover(known, { tasks: [], results: [] }, 2, defaultMapReduceLimits);
}

const retentionOf = (jobId: string): Timer => ({ kind: 'retention', jobId });

/** For how long timers are set, at a moment. */
function timesAt(nowMs: number, jobs: readonly Told[]) {
  const armed: number[] = [];
  const retention = createRetention({ rememberedMax: 9, recovered: stored(jobs), nowMs: () => nowMs });
  const timers = retention.from({
    arm: (_timer, afterMs) => void armed.push(afterMs),
    disarm: () => undefined,
    clear: () => undefined,
  });
  return { timers, armed, retention };
}

describe('the retention of a job', () => {
  it('counts-from-its-end-however-often-the-coordinator-has-changed', () => {
    const { timers, armed, retention } = timesAt(10_000, [
      { id: 'a', endedAtMs: 4_000, writtenAtMs: 9_999 },
      { id: 'long ago', endedAtMs: 1_000, writtenAtMs: 9_999 },
    ]);
    timers.arm(retentionOf('a'), 8_000, () => undefined);
    timers.arm(retentionOf('long ago'), 8_000, () => undefined);
    assert.deepEqual(armed, [2_000, 0]);
    assert.equal(retention.endedAtMs('a'), 4_000, 'what a successor stores says the same');
  });

  it('of-a-document-without-an-end-counts-from-when-it-was-written', () => {
    const { timers, armed } = timesAt(10_000, [{ id: 'a', writtenAtMs: 7_000 }]);
    timers.arm(retentionOf('a'), 8_000, () => undefined);
    assert.deepEqual(armed, [5_000]);
  });

  it('is-whole-for-a-job-that-ends-now, and for one whose end lies ahead by another clock', () => {
    const { timers, armed, retention } = timesAt(10_000, [
      { id: 'a', phase: 'mapping', writtenAtMs: 1 },
      { id: 'ahead', endedAtMs: 90_000 },
    ]);
    assert.equal(retention.endedAtMs('a'), 10_000);
    for (const id of ['a', 'ahead']) timers.arm(retentionOf(id), 8_000, () => undefined);
    assert.deepEqual(armed, [8_000, 8_000]);
  });

  it('a straggler’s time is nobody’s retention', () => {
    const { timers, armed } = timesAt(10_000, [{ id: 'a', endedAtMs: 4_000 }]);
    const straggler = { kind: 'straggler', jobId: 'a', phase: 'mapping', chunk: 0, attempt: 1 } as const;
    timers.arm(straggler, 8_000, () => undefined);
    assert.deepEqual(armed, [8_000]);
  });
});

describe('too many jobs', () => {
  it('the-oldest-that-are-over-go-first-and-none-that-is-open', () => {
    const jobs = stored([
      { id: 'open', phase: 'queued' },
      { id: 'third', endedAtMs: 30 },
      { id: 'first', phase: 'failed', endedAtMs: 10 },
      { id: 'second', phase: 'cancelled', endedAtMs: 20 },
    ]);
    const state = stateOf(jobs);
    const named = (rememberedMax: number) =>
      createRetention({ rememberedMax, recovered: jobs }).tooMany(state);
    assert.deepEqual(named(4), []);
    assert.deepEqual(named(2), ['first', 'second']);
    assert.deepEqual(named(0), ['first', 'second', 'third']);
  });

  it('of-one-caller-push-out-no-result-of-another', () => {
    const jobs = stored([
      { id: 'bobs', caller: 'bob', endedAtMs: 1 },
      { id: 'a1', endedAtMs: 11 },
      { id: 'a2', endedAtMs: 12 },
      { id: 'a3', endedAtMs: 13 },
    ]);
    const retention = createRetention({ rememberedMax: 2, recovered: jobs });
    assert.deepEqual(retention.tooMany(stateOf(jobs)), ['a1', 'a2']);
  });

  it('are-each-named-once, and again if they come back under their name', () => {
    const jobs = stored([
      { id: 'a', endedAtMs: 1 },
      { id: 'b', endedAtMs: 2 },
    ]);
    const retention = createRetention({ rememberedMax: 1, recovered: jobs });
    const state = stateOf(jobs);
    assert.deepEqual(retention.tooMany(state), ['a']);
    assert.deepEqual(retention.tooMany(state), [], 'it is on its way');
    retention.forgotten('a');
    assert.deepEqual(retention.tooMany(stateOf(jobs.slice(1))), []);
    assert.deepEqual(retention.tooMany(state), ['b']);
  });
});
