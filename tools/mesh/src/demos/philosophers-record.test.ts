import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  confirmedCycle,
  findCycle,
  forksOf,
  judgeRecord,
  seats,
  takingOrder,
  type Queue,
  type RecordLine,
} from './philosophers-record.ts';

const all = Array.from({ length: seats }, (_, philosopher) => philosopher);

/** Every philosopher holds the first fork of the order and waits for the second one. */
function stuckTable(arm: 'naive' | 'ordered'): Queue[] {
  const forks: { philosopher: number; ticket: string }[][] = all.map(() => []);
  for (const place of [0, 1] as const) {
    for (const philosopher of all) {
      const fork = takingOrder(arm, philosopher)[place];
      forks[fork]?.push({ philosopher, ticket: `${philosopher}-${fork}` });
    }
  }
  return forks;
}

describe('waiting circles of philosophers', () => {
  it('the naive order closes a circle of all five; the order by numbers does not', () => {
    assert.deepEqual(findCycle(stuckTable('naive')), [0, 1, 2, 3, 4]);
    assert.equal(findCycle(stuckTable('ordered')), undefined);
    assert.equal(findCycle([]), undefined);
    for (const philosopher of all) {
      const { left, right } = forksOf(philosopher);
      const [first, second] = takingOrder('ordered', philosopher);
      assert.ok(first < second);
      assert.deepEqual([first, second].sort(), [left, right].sort());
    }
  });

  it('places that were not taken at the same time form no circle', () => {
    const stuck = stuckTable('naive');
    assert.deepEqual(confirmedCycle(stuck, stuck), [0, 1, 2, 3, 4]);
    const moved = stuck.map((queue, fork) =>
      queue.map((place, index) => (fork === 2 && index === 1 ? { ...place, ticket: 'another' } : place)),
    );
    assert.equal(confirmedCycle(stuck, moved), undefined);
  });
});

describe('the record of the forks', () => {
  const line = (philosopher: number, epoch: number, act: RecordLine['act'], fork = 0): RecordLine => ({
    philosopher,
    fork,
    act,
    epoch: String(epoch),
  });

  it('alternating takes and releases are valid, also after a death or a lost lease', () => {
    const lines = [
      ...[line(0, 5, 'take'), line(0, 5, 'put'), line(1, 8, 'take'), line(3, 6, 'take', 2)],
      // Philosopher 1 was killed.
      ...[line(0, 12, 'take'), line(1, 20, 'take'), line(0, 12, 'lost'), line(1, 20, 'put')],
    ];
    assert.deepEqual(judgeRecord(lines), { acts: 7, violations: 0, findings: [] });
  });

  it('two holders of one fork are found when the first acts after the second took it', () => {
    const { violations, findings } = judgeRecord([line(0, 5, 'take'), line(1, 8, 'take'), line(0, 5, 'put')]);
    assert.equal(violations, 1);
    assert.deepEqual(findings, ['fork 0: philosopher 0 in epoch 5 put after philosopher 1 in epoch 8']);
  });

  it('a stale take, an epoch used twice and a release without a take are found', () => {
    assert.equal(judgeRecord([line(1, 8, 'take'), line(0, 5, 'take')]).violations, 1);
    assert.equal(judgeRecord([line(1, 8, 'take'), line(0, 8, 'take')]).violations, 1);
    assert.equal(judgeRecord([line(1, 8, 'put')]).violations, 1);
    assert.equal(judgeRecord([line(1, 8, 'take'), line(1, 8, 'put'), line(1, 8, 'put')]).violations, 1);
  });
});
