/** One partition of the task topic on one node: the host of `leaderStep` of libs/mapreduce. */
import { setTimeout as delay } from 'node:timers/promises';
import { parseTask, type TaskRecord } from '@thermomesh/contracts';
import type { IncomingRecord, PartitionReader } from '@thermomesh/kafka';
import {
  initialLeader,
  leaderStep,
  type LeaderEffect,
  type LeaderEvent,
  type LeaderLimits,
  type LeaderState,
  type Outcome,
} from '@thermomesh/mapreduce';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import type { Lease } from '@thermomesh/zookeeper';
import { DeposedError } from '../adapters/fenced-writes.ts';
import type { Records } from '../adapters/kafka-records.ts';
import type { ProgressStore } from '../adapters/zookeeper-progress.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import { moot, type TaskWork } from './moot-tasks.ts';

export interface PartitionOptions {
  partition: number;
  limits: LeaderLimits;
  records: Pick<Records, 'ensure' | 'taskEnds' | 'sendResult'>;
  reader: () => Pick<PartitionReader, 'lead' | 'release'>;
  /** The partition's state, under that lease. */
  progressUnder: (lease: Lease) => ProgressStore;
  work: TaskWork;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
}

/** A lease on the partition, and what goes with it. */
interface Term {
  lease: Lease;
  epoch: number;
  progress: ProgressStore;
}

interface Working {
  offset: number;
  abort: AbortController;
  outcome: Promise<Outcome | typeof moot>;
}

/** A partition whose handling failed is read again after this. */
const failedPauseMs = 1_000;

export class Partition {
  readonly #options: PartitionOptions;
  #state: LeaderState;
  #term: Term | undefined;
  #working: Working | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #tail: Promise<void> = Promise.resolve();

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#state = initialLeader(options.partition, options.limits);
  }

  /** This node leads from now on. Settles when it reads, or leads no more. Never rejects. */
  async gained(lease: Lease): Promise<void> {
    const { partition, records, progressUnder, log } = this.#options;
    const epoch = Number(lease.epoch);
    const term = { lease, epoch, progress: progressUnder(lease) };
    while (!lease.signal.aborted) {
      try {
        // In this order: the progress must not lie behind the end.
        const progress = await term.progress.read(partition);
        await records.ensure(lease.signal);
        const endOffset = (await records.taskEnds(lease.signal)).get(partition) ?? 0;
        this.#term = term;
        await this.#feed({ type: 'led', epoch, progress, endOffset });
        return;
      } catch (error) {
        if (lease.signal.aborted || error instanceof DeposedError) return;
        log.error({ event: 'partition.not_led', partition, epoch, code: codeOf(error), err: error });
        await delay(failedPauseMs, undefined, { signal: lease.signal }).catch(() => undefined);
      }
    }
  }

  /** The lease is over. Never rejects. */
  async lost(lease: Lease): Promise<void> {
    await this.#feed({ type: 'lost', epoch: Number(lease.epoch) });
    if (this.#term?.lease === lease) this.#term = undefined;
  }

  /** Finishes the task in flight and makes the progress durable, so that the next leader does nothing again. */
  async handOver(): Promise<void> {
    const { partition, reader } = this.#options;
    await reader().release(partition);
    await this.#feed({ type: 'progressDue' });
  }

  /** A coordinator of that epoch was elected. */
  async coordinatorSeen(epoch: number): Promise<void> {
    await this.#feed({ type: 'coordinatorSeen', epoch });
  }

  /** A record of the partition. Settles when the next one may come. Never rejects. */
  async handle({ offset, value }: IncomingRecord): Promise<void> {
    const parsed = parseTask(value);
    if ('faults' in parsed) {
      const { partition, log } = this.#options;
      log.warn({ event: 'task.unreadable', partition, offset, faults: parsed.faults });
      return this.#feed({ type: 'unreadable', offset });
    }
    await this.#feed({ type: 'task', offset, task: parsed.record });
    const working = this.#working;
    if (working?.offset !== offset) return;
    const outcome = await working.outcome;
    if (this.#working === working) this.#working = undefined;
    if (working.abort.signal.aborted) return;
    await this.#feed(outcome === moot ? { type: 'moot', offset } : { type: 'worked', offset, outcome });
  }

  /** One event after the other, the effects of each in order. Never rejects. */
  #feed(event: LeaderEvent): Promise<void> {
    this.#tail = this.#tail.then(async () => this.#take(event));
    return this.#tail;
  }

  async #take(event: LeaderEvent): Promise<void> {
    try {
      const [state, effects] = leaderStep(this.#state, event);
      this.#state = state;
      for (const effect of effects) await this.#do(effect);
    } catch (error) {
      await this.#fail(error);
    }
  }

  async #do(effect: LeaderEffect): Promise<void> {
    const { partition, reader, metrics } = this.#options;
    switch (effect.type) {
      case 'readFrom':
        return reader().lead(partition, effect.offset);
      case 'pause':
        clearTimeout(this.#progressTimer);
        // Not awaited: the record that is being handled may wait for this very turn.
        return void reader().release(partition);
      case 'work':
        return this.#begin(effect.offset, effect.task);
      case 'abandon':
        return this.#working?.abort.abort();
      case 'answer':
        return this.#answer(effect);
      case 'save':
        // What an older lease leaves behind is not written under a newer one.
        if (this.#term?.epoch !== effect.epoch) return;
        return this.#term.progress.save(partition, effect.progress);
      case 'armProgress':
        clearTimeout(this.#progressTimer);
        this.#progressTimer = setTimeout(() => void this.#feed({ type: 'progressDue' }), effect.afterMs);
        return;
      case 'skip':
        return metrics.skipped.inc({ why: effect.why });
    }
  }

  #begin(offset: number, task: TaskRecord): void {
    const abort = new AbortController();
    this.#working = { offset, abort, outcome: this.#options.work(task, abort.signal) };
  }

  async #answer({ result }: LeaderEffect & { type: 'answer' }): Promise<void> {
    const { records, metrics, crash } = this.#options;
    if (this.#term?.epoch !== result.partitionEpoch) return;
    await records.sendResult(result, this.#term.lease.signal);
    crash('equalizer.after-answer');
    const { phase, outcome } = result;
    metrics.tasks.inc({ phase, outcome: outcome.kind });
  }

  /** What was to be done and is not: by a successor, or by this node once more. */
  async #fail(error: unknown): Promise<void> {
    const { partition, metrics, log } = this.#options;
    const term = this.#term;
    if (term === undefined) return void log.error({ event: 'partition.failed', partition, err: error });
    const { lease, epoch } = term;
    const [state, effects] = leaderStep(this.#state, { type: 'lost', epoch });
    this.#state = state;
    for (const effect of effects) await this.#do(effect);
    if (error instanceof DeposedError) {
      metrics.storesRefused.inc({ role: 'partition' });
      log.warn({ event: 'partition.write_refused', partition, epoch });
      return;
    }
    if (lease.signal.aborted) return;
    log.error({ event: 'partition.failed', partition, epoch, code: codeOf(error), err: error });
    await delay(failedPauseMs, undefined, { signal: lease.signal }).catch(() => undefined);
    // Not awaited: it comes as an event of its own.
    void this.gained(lease);
  }
}
