/** The host of `leaderStep` (libs/mapreduce) for one partition of the task topic on one node. */
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
import { codeOf, sleep, type CrashHook, type Log } from '@thermomesh/runtime';
import type { Lease } from '@thermomesh/zookeeper';
import { DeposedError } from '../core/errors.ts';
import type { Records, ProgressStore } from '../core/ports.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import { obsolete, type TaskWork } from './obsolete-tasks.ts';

export interface PartitionOptions {
  partition: number;
  limits: LeaderLimits;
  records: Pick<Records, 'ensure' | 'taskEnds' | 'sendResult'>;
  reader: () => Pick<PartitionReader, 'lead' | 'release'>;
  /** Opens the partition's progress for writes under a lease. */
  progressUnder: (lease: Lease) => ProgressStore;
  work: TaskWork;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
}

/** One term as the leader of the partition. */
interface PartitionTerm {
  lease: Lease;
  epoch: number;
  progress: ProgressStore;
}

/** The task that is being worked on. */
interface CurrentTask {
  offset: number;
  abort: AbortController;
  outcome: Promise<Outcome | typeof obsolete>;
}

/** Pause before a partition whose handling failed is read again. */
const failedPauseMs = 1_000;

export class Partition {
  readonly #options: PartitionOptions;
  #state: LeaderState;
  #term: PartitionTerm | undefined;
  #working: CurrentTask | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #tail: Promise<void> = Promise.resolve();

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#state = initialLeader(options.partition, options.limits);
  }

  /** This node leads from now on. Resolves when it reads, or no longer leads. Never rejects. */
  async gained(lease: Lease): Promise<void> {
    const { partition, records, progressUnder, log } = this.#options;
    const epoch = Number(lease.epoch);
    const term = { lease, epoch, progress: progressUnder(lease) };
    while (!lease.signal.aborted) {
      try {
        // In this order: the progress must not be beyond the end.
        const progress = await term.progress.read(partition);
        await records.ensure(lease.signal);
        const endOffset = (await records.taskEnds(lease.signal)).get(partition) ?? 0;
        this.#term = term;
        await this.#feed({ type: 'led', epoch, progress, endOffset });
        return;
      } catch (error) {
        if (lease.signal.aborted || error instanceof DeposedError) return;
        log.error({ event: 'partition.not_led', partition, epoch, code: codeOf(error), err: error });
        await sleep(failedPauseMs, lease.signal);
      }
    }
  }

  /** The lease is over. Never rejects. */
  async lost(lease: Lease): Promise<void> {
    await this.#feed({ type: 'lost', epoch: Number(lease.epoch) });
    if (this.#term?.lease === lease) this.#term = undefined;
  }

  /**
   * Finishes the task in flight and saves the progress, so that the next leader repeats nothing.
   */
  async handOver(): Promise<void> {
    const { partition, reader } = this.#options;
    await reader().release(partition);
    await this.#feed({ type: 'progressDue' });
  }

  /** A coordinator with this epoch was elected. */
  async coordinatorSeen(epoch: number): Promise<void> {
    await this.#feed({ type: 'coordinatorSeen', epoch });
  }

  /** Handles one record. Resolves when the next one may follow. Never rejects. */
  async handle({ offset, value }: IncomingRecord): Promise<void> {
    const parsed = parseTask(value);
    if ('issues' in parsed) {
      const { partition, log } = this.#options;
      log.warn({ event: 'task.unreadable', partition, offset, issues: parsed.issues });
      return this.#feed({ type: 'unreadable', offset });
    }
    await this.#feed({ type: 'task', offset, task: parsed.record });
    const working = this.#working;
    if (working?.offset !== offset) return;
    const outcome = await working.outcome;
    if (this.#working === working) this.#working = undefined;
    if (working.abort.signal.aborted) return;
    await this.#feed(
      outcome === obsolete ? { type: 'obsolete', offset } : { type: 'worked', offset, outcome },
    );
  }

  /** Handles one event after the other, and the effects of each in order. Never rejects. */
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
        // Not awaited: the record in progress may itself wait for this event to be handled.
        return void reader().release(partition);
      case 'work':
        return this.#begin(effect.offset, effect.task);
      case 'abandon':
        return this.#working?.abort.abort();
      case 'answer':
        return this.#answer(effect);
      case 'save':
        // Progress of an older lease is never written under a newer one.
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

  /** Gives the term up after an error; a successor, or this node again, repeats what is undone. */
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
    await sleep(failedPauseMs, lease.signal);
    // Not awaited: it is handled as an event of its own.
    void this.gained(lease);
  }
}
