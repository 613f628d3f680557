import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import fc from 'fast-check';
import { isOver, jobsOf } from './jobs.ts';
import { reference } from './testing/computing.ts';
import { resultOf, World, type Coordinator } from './testing/world.ts';
import type { MapReduceLimits } from './types.ts';
import { defaultMapReduceLimits } from './types.ts';

const limits: MapReduceLimits = {
  ...defaultMapReduceLimits,
  runningJobsMax: 2,
  tasksInFlightMax: 3,
  failuresPerChunkMax: 2,
  attemptsPerChunkMax: 1_000,
  restartsPerPhaseMax: 1_000,
  taskPartitions: 3,
};
const callers = ['ann', 'bob', 'cyd'];

/**
 * What happens by chance, and how often. Events that advance the jobs are frequent, or no deep
 * state would ever be reached.
 */
const calm = {
  submit: 2,
  act: 12,
  answer: 8,
  work: 16,
  again: 2,
  timeout: 1,
  leader: 1,
  'old leader': 1,
};
const spiteful = { fail: 2, cancel: 1 };
const deadly = { die: 1, pause: 1, ghost: 4, expire: 1 };

type Kind = keyof typeof calm | keyof typeof spiteful | keyof typeof deadly;
interface Deed {
  kind: Kind;
  pick: number;
}

function deeds(weights: Partial<Record<Kind, number>>): fc.Arbitrary<Deed[]> {
  const kinds = Object.entries(weights).map(([kind, weight]) => ({
    weight,
    arbitrary: fc.constant(kind as Kind),
  }));
  const deed = fc.record({ kind: fc.oneof(...kinds), pick: fc.nat(1_000) });
  return fc.array(deed, { maxLength: 250, size: 'max' });
}

/** A world in which events happen by chance. */
class Play {
  readonly world: World;
  readonly #leaders = [1, 1, 1];
  readonly #ghosts: Coordinator[] = [];
  #jobs = 0;
  readonly mayFail: boolean;

  constructor(mayFail: boolean) {
    this.mayFail = mayFail;
    this.world = new World(limits);
  }

  do({ kind, pick }: Deed): void {
    const { world } = this;
    const { coordinator } = world;
    switch (kind) {
      case 'submit':
        if (this.#jobs < 4)
          world.submit(`j${this.#jobs++}`, callers[pick % callers.length] ?? '', 1 + (pick % 5));
        return;
      case 'act':
        return void (pick % 4 === 0 ? world.act() : world.actAll());
      case 'answer': {
        const ask = chosen(coordinator.asks, pick);
        return ask && world.answer(ask);
      }
      case 'work':
      case 'old leader':
        return this.#work(pick, kind === 'old leader' ? 1 : 0);
      case 'fail':
        return this.mayFail ? this.#work(pick, 0, true) : undefined;
      case 'again': {
        const record = chosen(world.results, pick);
        return record && world.deliver(record, ...this.#ghosts);
      }
      case 'timeout': {
        const timer = chosen([...coordinator.timers.values()], pick);
        return timer && (timer.kind === 'straggler' || this.mayFail) ? world.fire(timer) : undefined;
      }
      case 'cancel':
        return this.mayFail && pick % 5 === 0
          ? world.feed({ type: 'cancelled', jobId: `j${pick % 4}` })
          : undefined;
      case 'leader':
        this.#leaders[pick % 3]! += 1;
        return;
      case 'die':
        return void world.replaceCoordinator(5 + (pick % 20));
      case 'pause':
        return void this.#ghosts.push(world.replaceCoordinator(5 + (pick % 20)));
      case 'ghost':
        return this.#haunt(pick);
      case 'expire':
        // The topics' retention removes records: the work is done again.
        world.tasks.splice(0, pick % 4);
        return void world.results.splice(0, pick % 4);
    }
  }

  /**
   * Works on any task that was ever produced: now, or again, in any order. Tasks that chance never
   * picks are lost.
   */
  #work(pick: number, behind: number, fails = false): void {
    const { tasks } = this.world;
    // Most often one of the latest tasks, which no leader has worked on yet.
    const found = pick % 3 === 0 ? chosen(tasks, pick) : chosen(tasks.slice(-6), pick);
    if (found !== undefined) this.#workOn(found, behind, fails);
  }

  #workOn(found: World['tasks'][number], behind = 0, fails = false): void {
    const epoch = Math.max(1, (this.#leaders[found.partition] ?? 1) - behind);
    const outcome = fails ? ({ kind: 'failed', reason: 'bad pixels' } as const) : undefined;
    this.world.deliver(resultOf(found.task, found.partition, epoch, outcome), ...this.#ghosts);
  }

  /** A paused coordinator wakes and continues. */
  #haunt(pick: number): void {
    const ghost = chosen(this.#ghosts, pick);
    if (ghost === undefined) return;
    const timer = chosen([...ghost.timers.values()], pick);
    const ask = chosen(ghost.asks, pick);
    if (pick % 3 === 0 && timer !== undefined) this.world.fire(timer, ghost);
    else if (pick % 3 === 1 && ask !== undefined) this.world.answer(ask, ghost);
    // Its writes to Kafka are not fenced: tasks that do not follow a store reach the topic, even
    // tasks of a plan that was never stored.
    const [first] = ghost.todo;
    if (first?.type === 'store' && pick % 2 === 0) ghost.todo.shift();
    this.world.act(ghost);
  }

  /** Ends the faults: all work is finished, all tasks are worked on, all timers run out. */
  settle(): void {
    const { world } = this;
    let worked = world.tasks.length;
    for (let turns = 0; this.open().length > 0; turns++) {
      assert.ok(turns < 5_000, 'the jobs do not end');
      assert.ok(
        world.isPending(),
        `stuck: ${JSON.stringify(this.open().map(({ metadata }) => metadata.phase))}`,
      );
      world.actAll();
      for (const ask of [...world.coordinator.asks]) world.answer(ask);
      for (const found of world.tasks.slice(worked)) this.#workOn(found);
      worked = world.tasks.length;
      const straggler = [...world.coordinator.timers.values()].find(({ kind }) => kind === 'straggler');
      if (world.coordinator.todo.length === 0 && straggler !== undefined) world.fire(straggler);
    }
    world.actAll();
  }

  open() {
    return jobsOf(this.world.coordinator.state).filter((job) => !isOver(job));
  }
}

function assertLikeReference(world: World, job: JobMetadata): void {
  assert.ok(job.grid);
  const perChunk = job.grid.chunkWidthPixels * job.grid.chunkHeightPixels;
  assert.equal(job.result, reference(job, world.rowsOf(job.id), perChunk, limits.chunksPerJobMax));
}

function chosen<T>(list: readonly T[], pick: number): T | undefined {
  return list[pick % Math.max(1, list.length)];
}

describe('whatever happens to records and coordinators', () => {
  it('whatever fails, an accepted job finishes once, as one process would do it', () => {
    fc.assert(
      fc.property(deeds({ ...calm, ...deadly }), (happenings) => {
        const play = new Play(false);
        play.do({ kind: 'submit', pick: 7 });
        play.world.actAll();
        for (const deed of happenings) play.do(deed);
        play.settle();
        for (const job of play.world.metadata.values()) {
          assert.equal(job.phase, 'finished');
          assertLikeReference(play.world, job);
          assert.equal(play.world.ends.get(job.id), 1);
        }
      }),
      { numRuns: 700 },
    );
  });

  it('with failures, cancellations and retention, every job ends exactly once', () => {
    fc.assert(
      fc.property(deeds({ ...calm, ...spiteful, ...deadly }), (happenings) => {
        const play = new Play(true);
        for (const deed of happenings) play.do(deed);
        play.settle();
        for (const job of play.world.metadata.values()) {
          assert.ok(['finished', 'failed', 'cancelled'].includes(job.phase));
          assert.equal(job.reason !== null, job.phase === 'failed');
          if (job.phase === 'finished') assertLikeReference(play.world, job);
          assert.equal(play.world.ends.get(job.id), 1);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('at every moment, a successor would recover the predecessor’s state', () => {
    fc.assert(
      fc.property(deeds({ ...calm, ...spiteful }), (happenings) => {
        const play = new Play(true);
        const { world } = play;
        for (const deed of happenings) {
          play.do(deed);
          world.actAll();
          assert.deepEqual(world.recovered(1), world.coordinator.state);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('running jobs and tasks in flight never exceed the limits', () => {
    fc.assert(
      fc.property(deeds({ ...calm, ...spiteful }), (happenings) => {
        const play = new Play(true);
        for (const deed of happenings) {
          play.do(deed);
          const jobs = play.open().filter(({ metadata }) => metadata.phase !== 'queued');
          assert.ok(jobs.length <= limits.runningJobsMax);
          assert.ok(jobs.reduce((sum, job) => sum + job.inFlight, 0) <= limits.tasksInFlightMax);
        }
      }),
      { numRuns: 200 },
    );
  });
});
