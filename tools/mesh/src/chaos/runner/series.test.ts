import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProcessRecord, ProcessRole } from '../../mesh/files/run-file.ts';
import { randomFaults, targetsOf } from './random.ts';
import { parseSchedule } from './schedule.ts';

const record = (name: string, role: ProcessRole): ProcessRecord => ({
  name,
  role,
  pid: 1,
  startTime: '1',
  url: null,
  ports: {},
  ready: true,
  restarts: 0,
});
const processes = [
  record('postgres', 'postgres'),
  record('links', 'links'),
  record('gateway', 'gateway'),
  record('node-1', 'analytics'),
  record('node-2', 'analytics'),
];

describe('random faults', () => {
  it('the same seed gives the same faults, and another seed gives others', () => {
    const targets = targetsOf(processes);
    const faults = (seed: number) => randomFaults(seed, 50, targets, ['KILL', 'STOP'], 3_000);
    assert.deepEqual(faults(7), faults(7));
    assert.notDeepEqual(faults(7), faults(8));
    const hit = new Set(faults(7).map(({ target, node, signal }) => `${signal} ${target} ${node ?? ''}`));
    assert.equal(hit.size, 2 * targets.length, [...hit].join(', '));
    assert.ok(faults(7).every(({ pauseMs }) => pauseMs >= 300 && pauseMs <= 3_000));
  });

  it('only what this mesh runs and a signal can reach is a random target', () => {
    assert.deepEqual(
      targetsOf(processes).map(({ target, node }) => `${target}${node ?? ''}`),
      ['coordinator', 'gateway', 'postgres', 'node1', 'node2'],
    );
  });
});

describe('a schedule', () => {
  it('steps of a schedule get their defaults', () => {
    const steps = parseSchedule(
      '[{"atMs":0,"target":"coordinator"},{"atMs":9,"partition":"1/2","silent":true},{"atMs":9,"target":"node","node":2,"signal":"STOP","pauseMs":5}]',
    );
    assert.deepEqual(
      steps.map(({ atMs, fault }) => [atMs, fault.kind, fault.pauseMs]),
      [
        [0, 'signal', 3_000],
        [9, 'links', 6_000],
        [9, 'signal', 5],
      ],
    );
  });

  it('every issue of a schedule is reported with its step', () => {
    const steps = [
      { atMs: 0, target: 'moon' },
      { atMs: 0, target: 'node' },
      { atMs: 0 },
      { atMs: 0, cut: 'gateway' },
      { atMs: -1, target: 'gateway' },
      { atMs: 0, target: 'gateway', pauseMilliseconds: 5 },
    ];
    assert.throws(
      () => parseSchedule(JSON.stringify(steps)),
      (error: Error) => steps.every((_, index) => error.message.includes(`step ${index + 1}: `)),
    );
    assert.throws(() => parseSchedule('[{'), /not JSON/);
    assert.throws(() => parseSchedule('[]'), /1 to \d+ steps/);
    assert.throws(
      () => parseSchedule('[{"atMs":5,"target":"gateway"},{"atMs":4,"target":"gateway"}]'),
      /step 2: its atMs is less than that of step 1/,
    );
  });
});
