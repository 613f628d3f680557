import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  defaultLeaderLimits,
  initialLeader,
  leaderLimitIssues,
  leaderStep,
  taskKey,
  type LeaderEffect,
  type LeaderEvent,
  type LeaderState,
} from './leader.ts';
import { compute } from './testing/computing.ts';
import { taskOf } from './jobs.ts';
import type { JobMetadata, PartitionProgress, ResultRecord, TaskRecord } from '@thermomesh/contracts';

const limits = { ...defaultLeaderLimits, progressEveryTasks: 3, startsPerTaskMax: 1_000 };

const job = {
  id: 'a',
  number: 0,
  caller: 'ann',
  input: 'a/upload',
  parameters: {},
  phase: 'mapping' as const,
  phaseEpoch: 1,
  restarts: 0,
  turn: 1,
  table: null,
  result: null,
  reason: null,
  image: { key: 'a/spool', widthPixels: 10, heightPixels: 50, channels: 1, bitDepth: 8 },
  grid: { widthPixels: 10, heightPixels: 50, chunkWidthPixels: 10, chunkHeightPixels: 1 },
} satisfies JobMetadata;

const taskAt = (chunk: number, attempt: number): TaskRecord =>
  taskOf(job, chunk, { attempt, coordinatorEpoch: 1, failures: 0 });

/**
 * Two nodes and one partition. Effects are carried out one by one, so that a node can die between
 * any two.
 */
class Partition {
  readonly log: (TaskRecord | null)[] = [];
  readonly answers: ResultRecord[] = [];
  progress: PartitionProgress | null = null;
  epoch = 0;
  readonly #nodes: ({ state: LeaderState; todo: LeaderEffect[]; next: number } | undefined)[] = [];

  lead(who: number): void {
    this.#nodes[who] ??= { state: initialLeader(0, limits), todo: [], next: 0 };
    this.epoch += 1;
    this.feed(who, {
      type: 'led',
      epoch: this.epoch,
      progress: this.progress,
      endOffset: this.log.length,
    });
  }

  die(who: number): void {
    this.#nodes[who] = undefined;
  }

  feed(who: number, event: LeaderEvent): void {
    const node = this.#nodes[who];
    if (node === undefined) return;
    const [state, effects] = leaderStep(node.state, event);
    node.state = state;
    node.todo.push(...effects);
  }

  /** Carries out the next effect, or feeds the next record; returns false if there is neither. */
  act(who: number): boolean {
    const node = this.#nodes[who];
    if (node === undefined) return false;
    const effect = node.todo.shift();
    if (effect !== undefined) this.#carryOut(who, node, effect);
    else if (node.state.epoch !== null && node.state.working === null && node.next < this.log.length) {
      const offset = node.next++;
      const task = this.log[offset];
      this.feed(who, task ? { type: 'task', offset, task } : { type: 'unreadable', offset });
    } else return false;
    return true;
  }

  #carryOut(who: number, node: { next: number }, effect: LeaderEffect): void {
    if (effect.type === 'readFrom') node.next = effect.offset;
    else if (effect.type === 'answer') this.answers.push(effect.result);
    else if (effect.type === 'work')
      this.feed(who, { type: 'worked', offset: effect.offset, outcome: compute(effect.task) });
    else if (effect.type === 'save') this.#save(who, effect);
  }

  #save(who: number, { epoch, progress }: LeaderEffect & { type: 'save' }): void {
    if (epoch < this.epoch) return this.feed(who, { type: 'lost', epoch });
    assert.ok(progress.offset >= (this.progress?.offset ?? 0), 'progress fell back');
    assert.ok(progress.handled.length <= limits.handledMax);
    for (const task of this.log.slice(0, progress.offset))
      assert.ok(task === null || this.isAnswered(task), 'an unanswered task was left behind');
    this.progress = progress;
  }

  isAnswered(task: TaskRecord): boolean {
    return this.answers.some((answer) => taskKey(answer as unknown as TaskRecord) === taskKey(task));
  }
}

const deed = fc.record({
  kind: fc.oneof(
    { weight: 10, arbitrary: fc.constant('act' as const) },
    { weight: 3, arbitrary: fc.constant('append' as const) },
    { weight: 1, arbitrary: fc.constantFrom('lead' as const, 'die' as const, 'due' as const) },
  ),
  who: fc.nat(1),
  pick: fc.nat(49),
});

describe('leaders of a partition, killed and replaced anywhere', () => {
  it('killed and replaced anywhere, leaders answer every task', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 200, size: 'max' }), (deeds) => {
        const partition = new Partition();
        for (const { kind, who, pick } of deeds) {
          if (kind === 'append') partition.log.push(pick === 0 ? null : taskAt(pick, 1 + (pick % 2)));
          else if (kind === 'lead') partition.lead(who);
          else if (kind === 'die') partition.die(who);
          else if (kind === 'due') partition.feed(who, { type: 'progressDue' });
          else partition.act(who);
        }
        partition.lead(0);
        while (partition.act(0));
        for (const task of partition.log) assert.ok(task === null || partition.isAnswered(task));
      }),
      { numRuns: 400 },
    );
  });

  it('an undisturbed leader works on each task once and saves when due', () => {
    const partition = new Partition();
    partition.lead(0);
    for (let chunk = 0; chunk < 50; chunk++) partition.log.push(taskAt(chunk, 1));
    while (partition.act(0));
    assert.equal(partition.answers.length, 50);
    partition.feed(0, { type: 'progressDue' });
    while (partition.act(0));
    assert.equal(partition.progress?.offset, 50);
  });
});

it('contradictory limits of a leader are all reported', () => {
  assert.deepEqual(leaderLimitIssues(defaultLeaderLimits), []);
  assert.equal(leaderLimitIssues({ ...defaultLeaderLimits, handledMax: 1, progressDelayMs: 0 }).length, 2);
  assert.equal(leaderLimitIssues({ ...defaultLeaderLimits, handledMax: 9_999 }).length, 1);
});
