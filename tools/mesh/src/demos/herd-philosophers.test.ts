import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HerdDocument, PhilosophersDocument } from '@thermomesh/contracts';
import { keepsHerdPromises } from './herd.ts';
import { keepsPhilosophersPromises } from './philosophers.ts';

type HerdArm = HerdDocument['arms'][number];
type Arm = PhilosophersDocument['arms'][number];

describe('verdicts of the ZooKeeper demonstrations', () => {
  it('herd: a death wakes one candidate, plus one for each broken connection', () => {
    const arm = (name: string, changes: Partial<HerdArm>): HerdArm => ({
      name,
      leaders: 4,
      epochsGrow: true,
      wakeUps: 3,
      wakeUpsMax: 1,
      requests: 9,
      requestsMax: 3,
      breaks: 0,
      ...changes,
    });
    const verdict = (free: Partial<HerdArm>, simple: Partial<HerdArm> = {}) =>
      keepsHerdPromises([arm('free', free), arm('simple', { wakeUps: 24, ...simple })], 10, 3);
    assert.ok(verdict({}));
    assert.ok(verdict({ wakeUps: 4, breaks: 1 }));
    assert.equal(verdict({ wakeUps: 4 }), false);
    assert.equal(verdict({ leaders: 3 }), false);
    assert.equal(verdict({ epochsGrow: false }), false);
    assert.equal(verdict({}, { leaders: 5 }), false);
    assert.equal(verdict({}, { wakeUps: 3 }), false);
    assert.equal(keepsHerdPromises([], 10, 3), false);
  });

  it('philosophers: naive deadlocks and is freed, the others never deadlock or starve', () => {
    const arm = (name: Arm['name'], changes: Partial<Arm> = {}): Arm => ({
      name,
      deadlock: null,
      meals: [1, 1, 1, 1, 1],
      longestWaitMs: [1, 1, 1, 1, 1],
      starved: 0,
      record: { acts: 20, violations: 0, findings: [] },
      ...changes,
    });
    const deadlock = { cycle: [0, 1, 2, 3, 4], ended: 0, mealsAfter: 4 };
    const verdict = (naive: Partial<Arm>, ordered: Partial<Arm> = {}) =>
      keepsPhilosophersPromises([arm('naive', naive), arm('ordered', ordered), arm('semaphore')]);
    assert.ok(verdict({ deadlock, starved: 1 }));
    assert.equal(verdict({}), false);
    assert.equal(verdict({ deadlock: { ...deadlock, mealsAfter: 3 } }), false);
    assert.equal(verdict({ deadlock }, { deadlock }), false);
    assert.equal(verdict({ deadlock }, { starved: 1 }), false);
    assert.equal(verdict({ deadlock }, { record: { acts: 3, violations: 1, findings: ['x'] } }), false);
    assert.equal(keepsPhilosophersPromises([arm('naive', { deadlock })]), false);
  });
});
