import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { defaultMapReduceLimits, recover, type CoordinatorState, type Timer } from '@thermomesh/mapreduce';
import type { StoredJob } from '../core/ports.ts';
import { createRetention } from './retention.ts';

interface JobSpec {
  id: string;
  phase?: JobMetadata['phase'];
  caller?: string;
  endedAtMs?: number;
  writtenAtMs?: number;
}

/** Jobs as they are stored in ZooKeeper. */
function stored(jobs: readonly JobSpec[]): StoredJob[] {
  return jobs.map(({ id, phase = 'finished', caller = 'ann', endedAtMs, writtenAtMs = 0 }, number) => {
    const common = { id, caller, input: `jobs/${id}/input`, parameters: {} };
    const metadata: JobMetadata = {
      ...common,
      number,
      phase,
      phaseEpoch: 1,
      restarts: 0,
      turn: null,
      image: null,
      grid: null,
      table: null,
      result: null,
      reason: null,
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

/** Timers at a moment, and the durations that they are set to. */
function timesAt(nowMs: number, jobs: readonly JobSpec[]) {
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
  it('retention runs from the end of a job, across changes of the coordinator', () => {
    const { timers, armed, retention } = timesAt(10_000, [
      { id: 'a', endedAtMs: 4_000, writtenAtMs: 9_999 },
      { id: 'long ago', endedAtMs: 1_000, writtenAtMs: 9_999 },
    ]);
    timers.arm(retentionOf('a'), 8_000, () => undefined);
    timers.arm(retentionOf('long ago'), 8_000, () => undefined);
    assert.deepEqual(armed, [2_000, 0]);
    assert.equal(retention.endedAtMs('a'), 4_000, 'a successor stores the same end');
  });

  it('retention of a document without an end runs from its last write', () => {
    const { timers, armed } = timesAt(10_000, [{ id: 'a', writtenAtMs: 7_000 }]);
    timers.arm(retentionOf('a'), 8_000, () => undefined);
    assert.deepEqual(armed, [5_000]);
  });

  it('retention is complete for a job that ends now or, by another clock, later', () => {
    const { timers, armed, retention } = timesAt(10_000, [
      { id: 'a', phase: 'mapping', writtenAtMs: 1 },
      { id: 'ahead', endedAtMs: 90_000 },
    ]);
    assert.equal(retention.endedAtMs('a'), 10_000);
    for (const id of ['a', 'ahead']) timers.arm(retentionOf(id), 8_000, () => undefined);
    assert.deepEqual(armed, [8_000, 8_000]);
  });

  it('the timeout of a straggler is not changed by any retention', () => {
    const { timers, armed } = timesAt(10_000, [{ id: 'a', endedAtMs: 4_000 }]);
    const straggler = { kind: 'straggler', jobId: 'a', phase: 'mapping', chunk: 0, attempt: 1 } as const;
    timers.arm(straggler, 8_000, () => undefined);
    assert.deepEqual(armed, [8_000]);
  });
});

describe('too many jobs', () => {
  it('of too many jobs the oldest that are over go first, and no open one', () => {
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

  it('too many jobs of one caller displace no result of another', () => {
    const jobs = stored([
      { id: 'bobs', caller: 'bob', endedAtMs: 1 },
      { id: 'a1', endedAtMs: 11 },
      { id: 'a2', endedAtMs: 12 },
      { id: 'a3', endedAtMs: 13 },
    ]);
    const retention = createRetention({ rememberedMax: 2, recovered: jobs });
    assert.deepEqual(retention.tooMany(stateOf(jobs)), ['a1', 'a2']);
  });

  it('a surplus job is named once, and again only if its id returns', () => {
    const jobs = stored([
      { id: 'a', endedAtMs: 1 },
      { id: 'b', endedAtMs: 2 },
    ]);
    const retention = createRetention({ rememberedMax: 1, recovered: jobs });
    const state = stateOf(jobs);
    assert.deepEqual(retention.tooMany(state), ['a']);
    assert.deepEqual(retention.tooMany(state), [], 'it is being forgotten');
    retention.forgotten('a');
    assert.deepEqual(retention.tooMany(stateOf(jobs.slice(1))), []);
    assert.deepEqual(retention.tooMany(state), ['b']);
  });
});
