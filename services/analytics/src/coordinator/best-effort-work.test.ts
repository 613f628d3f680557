import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DevicesReport } from '@thermomesh/contracts';
import { createMetrics } from '@thermomesh/runtime';
import { DataRefusedError } from '@thermomesh/sql';
import { until } from '@thermomesh/testing';
import { toBestEffortEntry, type BestEffortEntry } from '../core/best-effort.ts';
import type { BestEffortListener, DrainStore } from '../core/ports.ts';
import { createDrainMetrics } from '../metrics.ts';
import { createBestEffortWork } from './best-effort-work.ts';

const reading = (seq: number): BestEffortEntry =>
  toBestEffortEntry('d1', {
    receivedAtMs: seq,
    payload: Buffer.from(JSON.stringify({ deviceId: 'd1', seq, measuredAt: 1.7e12, celsius: 20 })),
  });

/** The work with a database that does what `answer` says to each statement. */
function harness(answer: (entries: readonly BestEffortEntry[]) => 'stored' | 'failed' | 'poison') {
  const stored: BestEffortEntry[] = [];
  const reports: DevicesReport[] = [];
  const state = { behind: false, reachable: true };
  const store = {
    async applyBestEffort(_epoch: number, _node: number, entries: readonly BestEffortEntry[]) {
      if (answer(entries) === 'poison') throw new DataRefusedError(new Error('poison'), '22003');
      stored.push(...entries);
      const rejected = entries.filter(({ parsed }) => 'rejection' in parsed).length;
      return { stored: entries.length - rejected, duplicate: 0, rejected };
    },
    noteDevices: async (_epoch: number, report: DevicesReport) => void reports.push(report),
  } as Partial<DrainStore> as DrainStore;
  let listener: BestEffortListener | undefined;
  const work = createBestEffortWork({
    epoch: 1,
    nodeId: 1,
    metrics: createDrainMetrics(createMetrics({ defaults: false })),
    execute: async (statement) => (state.reachable ? statement(store) : undefined),
  });
  work.attach({ isBehind: () => state.behind, onBestEffort: (next) => (listener = next) });
  return { work, stored, reports, state, push: (entry: BestEffortEntry) => listener!.reading(entry) };
}

describe('the work beside the drain', () => {
  it('readings at QoS 0 wait while a batch of accepted messages waits (I1)', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { work, stored, state, push } = harness(() => 'stored');
    t.after(() => work.stop());
    const pass = async () => {
      t.mock.timers.tick(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    };
    state.behind = true;
    push(reading(1));
    for (let n = 0; n < 10; n++) await pass();
    assert.equal(stored.length, 0);
    state.behind = false;
    await pass();
    assert.equal(stored.length, 1);
  });

  it('a poison reading is rejected alone, and the others are stored', async () => {
    const isPoison = ({ parsed }: BestEffortEntry) => 'reading' in parsed && parsed.reading.seq === 3;
    const { work, stored, push } = harness((entries) => (entries.some(isPoison) ? 'poison' : 'stored'));
    for (let seq = 0; seq < 8; seq++) push(reading(seq));
    await work.flush();
    work.stop();
    assert.deepEqual(
      stored.map(({ parsed }) => ('reading' in parsed ? parsed.reading.seq : parsed.rejection.reason)),
      [0, 1, 2, 'refused_by_database', 4, 5, 6, 7],
    );
  });

  it('while PostgreSQL is away they wait within a limit, and the rest is counted', async () => {
    const { work, stored, reports, state, push } = harness(() => 'stored');
    state.reachable = false;
    for (let seq = 0; seq < 10_003; seq++) push(reading(seq));
    await work.flush();
    assert.equal(stored.length, 0);
    state.reachable = true;
    await until('the readings', async () => {
      await work.flush();
      return stored.length === 10_000;
    });
    work.stop();
    assert.deepEqual(
      stored.map(({ receivedAtMs }) => receivedAtMs),
      Array.from({ length: 10_000 }, (_, seq) => seq),
    );
    const dropped = { deviceId: 'd1', notStored: 3, firstAtMs: 10_000, lastAtMs: 10_002, refusals: [] };
    assert.deepEqual(reports, [{ relayed: 0, dropped: 3, devices: [dropped] }]);
  });
});
