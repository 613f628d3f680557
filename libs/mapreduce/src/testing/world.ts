/**
 * The coordinator's host in memory: the fenced store of metadata, the two topics, and the
 * coordinator's own work on images, which the test finishes. Effects wait in order, so that a
 * coordinator can die between two of them.
 */
import assert from 'node:assert/strict';
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import { initialState, isOver, jobAtStart } from '../jobs.ts';
import { recover } from '../recover.ts';
import { step } from '../step.ts';
import type {
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
  MapReduceLimits,
  Timer,
} from '../types.ts';
import { compute, imageOf, join } from './computing.ts';

/** Work that the coordinator has asked its host for and that has not finished. */
export type Ask = CoordinatorEffect & { type: 'decode' | 'reduce' | 'stitch' };

/** One coordinator process. */
export class Coordinator {
  state: CoordinatorState;
  todo: CoordinatorEffect[] = [];
  asks: Ask[] = [];
  readonly timers = new Map<string, Timer>();
  readonly chunkPixelsMax: number;

  constructor(state: CoordinatorState, chunkPixelsMax: number) {
    this.state = state;
    this.chunkPixelsMax = chunkPixelsMax;
  }
}

export class World {
  readonly limits: MapReduceLimits;
  readonly metadata = new Map<string, JobMetadata>();
  readonly tasks: { partition: number; task: TaskRecord }[] = [];
  readonly results: ResultRecord[] = [];
  readonly refused: string[] = [];
  /** How often each job's end was stored for the first time. */
  readonly ends = new Map<string, number>();
  coordinator: Coordinator;
  #rows = new Map<string, number>();

  constructor(limits: MapReduceLimits, chunkPixelsMax = 10) {
    this.limits = limits;
    this.coordinator = new Coordinator(initialState(1, limits), chunkPixelsMax);
  }

  submit(id: string, caller: string, rows: number): void {
    this.#rows.set(id, rows);
    const job = { id, caller, input: `${id}/upload`, parameters: { mode: 'grey' } };
    this.feed({ type: 'submitted', number: this.#rows.size - 1, ...job });
  }

  rowsOf(id: string): number {
    return this.#rows.get(id) ?? 1;
  }

  feed(event: CoordinatorEvent, coordinator = this.coordinator): void {
    const [state, effects] = step(coordinator.state, event);
    coordinator.state = state;
    coordinator.todo.push(...effects);
  }

  /** Carries out and returns the next effect; undefined if there is none. */
  act(coordinator = this.coordinator): CoordinatorEffect | undefined {
    const effect = coordinator.todo.shift();
    if (effect !== undefined) this.#carryOut(coordinator, effect);
    return effect;
  }

  actAll(coordinator = this.coordinator): CoordinatorEffect[] {
    const done: CoordinatorEffect[] = [];
    for (let effect = this.act(coordinator); effect !== undefined; effect = this.act(coordinator))
      done.push(effect);
    return done;
  }

  /** Finishes work that the coordinator has asked for. */
  answer(ask: Ask, coordinator = this.coordinator): void {
    coordinator.asks = coordinator.asks.filter((other) => other !== ask);
    const jobId = ask.job.id;
    if (ask.type === 'decode') {
      const image = imageOf(jobId, this.rowsOf(jobId));
      this.feed({ type: 'decoded', jobId, image, chunkPixelsMax: coordinator.chunkPixelsMax }, coordinator);
    } else if (ask.type === 'reduce') {
      this.feed({ type: 'reduced', jobId, table: join('table', ask.outputs) }, coordinator);
    } else {
      this.feed({ type: 'stitched', jobId, result: join('image', ask.outputs) }, coordinator);
    }
  }

  /** Appends a result to the topic, and feeds it to every reader. */
  deliver(record: ResultRecord, ...readers: Coordinator[]): void {
    this.results.push(record);
    for (const reader of [this.coordinator, ...readers]) this.feed({ type: 'result', record }, reader);
  }

  fire(timer: Timer, coordinator = this.coordinator): void {
    coordinator.timers.delete(JSON.stringify(timer));
    this.feed({ type: 'timeout', timer }, coordinator);
  }

  /**
   * Kills the coordinator and starts its successor; effects that were not carried out are lost.
   * @returns the former coordinator, which may turn out to be only paused
   */
  replaceCoordinator(chunkPixelsMax = this.coordinator.chunkPixelsMax): Coordinator {
    const former = this.coordinator;
    this.coordinator = new Coordinator(this.recovered(former.state.epoch + 1), chunkPixelsMax);
    this.feed({ type: 'resumed' });
    return former;
  }

  recovered(epoch: number): CoordinatorState {
    const records = { tasks: this.tasks.map(({ task }) => task), results: this.results };
    return recover(this.metadata.values(), records, epoch, this.limits);
  }

  /**
   * Whether something will still happen by itself: an effect, unfinished work, or a straggler
   * timer.
   */
  isPending(): boolean {
    const { todo, asks, timers } = this.coordinator;
    return todo.length + asks.length > 0 || [...timers.values()].some(({ kind }) => kind === 'straggler');
  }

  #carryOut(coordinator: Coordinator, effect: CoordinatorEffect): void {
    switch (effect.type) {
      case 'store':
        return this.#store(coordinator, effect.job);
      case 'decode':
      case 'reduce':
      case 'stitch':
        return void coordinator.asks.push(effect);
      case 'produce':
        return void this.tasks.push(effect);
      case 'arm':
        return void coordinator.timers.set(JSON.stringify(effect.timer), effect.timer);
      case 'disarm':
        return void coordinator.timers.delete(JSON.stringify(effect.timer));
      case 'abandon':
        coordinator.asks = coordinator.asks.filter(({ job }) => job.id !== effect.jobId);
        return;
      case 'forget':
        return void (coordinator === this.coordinator && this.metadata.delete(effect.jobId));
      case 'refuse':
        return void this.refused.push(effect.why);
      case 'stepDown':
        coordinator.timers.clear();
        coordinator.asks = [];
    }
  }

  /** The fence of the store: a deposed coordinator changes nothing, and gets `deposed`. */
  #store(coordinator: Coordinator, job: JobMetadata): void {
    if (coordinator !== this.coordinator) {
      coordinator.todo = [];
      return this.feed({ type: 'deposed', epoch: this.coordinator.state.epoch }, coordinator);
    }
    const before = this.metadata.get(job.id);
    const over = (metadata: JobMetadata) => isOver(jobAtStart(metadata));
    if (before !== undefined && over(before)) assert.deepEqual(job, before, 'a job that was over changed');
    else if (over(job)) this.ends.set(job.id, (this.ends.get(job.id) ?? 0) + 1);
    this.metadata.set(job.id, job);
  }
}

/** The result of a task. */
export function resultOf(
  task: TaskRecord,
  partition: number,
  partitionEpoch: number,
  outcome = compute(task),
): ResultRecord {
  const { jobId, phase, chunk, attempt, coordinatorEpoch } = task;
  return {
    type: 'equalizer.result.v1',
    jobId,
    phase,
    chunk,
    attempt,
    coordinatorEpoch,
    partition,
    partitionEpoch,
    outcome,
  };
}
