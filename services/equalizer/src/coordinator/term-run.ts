/**
 * One term of a coordinator from its recovery to its end: connects `CoordinatorTerm`, the host of
 * the protocol, with the jobs in ZooKeeper and the results on Kafka.
 */
import { parseResult } from '@thermomesh/contracts';
import type { IncomingRecord, PartitionReader } from '@thermomesh/kafka';
import type { CoordinatorState, MapReduceLimits } from '@thermomesh/mapreduce';
import { codeOf, raceAbort, type CrashHook, type Log } from '@thermomesh/runtime';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { createJobStore } from '../adapters/zookeeper-job-store.ts';
import type { Submission } from '../core/jobs.ts';
import type { BlobStore, FencedWrites, Following, JobStore, Records } from '../core/ports.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { CoordinatorTasks } from './coordinator-tasks.ts';
import { createEffects } from './effects.ts';
import { followIntake } from './intake.ts';
import { keepReadOffsets, type ReadOffsetKeeper, type ReadOffsets } from './read-offsets.ts';
import { recoverJobs, type Recovered } from './recovery.ts';
import { createRetention, type Retention } from './retention.ts';
import { CoordinatorTerm, type TermEnd } from './term.ts';
import { createTimers } from './timers.ts';
import { createWatchers, type Watchers } from './watchers.ts';

export interface TermDeps {
  zk: ZooKeeper;
  /** The ZooKeeper node below which the equalizer keeps everything. */
  root: string;
  limits: MapReduceLimits;
  /**
   * Jobs that are kept, over or not. Beyond it, jobs that are over are forgotten before their
   * retention ends.
   */
  rememberedJobsMax: number;
  /** Time limit for replaying records; on expiry the replay restarts. */
  recoveryDeadlineMs: number;
  records: Records;
  blobs: BlobStore;
  tasks: CoordinatorTasks;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
}

/** What distinguishes one term from another. */
export interface TermContext {
  epoch: number;
  writes: FencedWrites;
  /** Aborts when the lease is over, or the process stops. */
  signal: AbortSignal;
}

/**
 * Recovers the jobs and coordinates them until the term ends.
 * @throws DeposedError, or the reason of the context's signal, if it ends during the recovery
 */
export async function runTerm(deps: TermDeps, context: TermContext): Promise<TermEnd> {
  const { zk, root, limits, records, recoveryDeadlineMs, metrics, log } = deps;
  const { epoch, writes, signal } = context;
  const startedAtMs = performance.now();
  const store = createJobStore({
    zk,
    root,
    writes,
    onUnreadable: (jobId, issues) => log.error({ event: 'job.unreadable', jobId, issues }),
  });
  const recovering = recoverJobs({ epoch, limits, store, records, signal, deadlineMs: recoveryDeadlineMs });
  const recovered = await raceAbort(recovering, signal);
  const tookMs = performance.now() - startedAtMs;
  metrics.recoveryMs.observe(tookMs);
  const jobs = Object.keys(recovered.state.jobs).length;
  log.info({ event: 'coordinator.recovered', epoch, jobs, tookMs: Math.round(tookMs) });
  // A record was written for a newer coordinator.
  if (recovered.state.deposed) return 'deposed';
  return new TermRun(deps, context, store, recovered).run();
}

class TermRun {
  readonly #deps: TermDeps;
  readonly #context: TermContext;
  readonly #store: JobStore;
  readonly #resultEnds: ReadonlyMap<number, number>;
  /** The next offset of each partition of the task topic, as far as this term knows. */
  readonly #taskEnds: Map<number, number>;
  /** Submissions of the jobs that a coordinator has seen; the intake adds the others. */
  readonly #submissions: Map<string, Submission>;
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reader: PartitionReader;
  readonly #watchers: Watchers;
  readonly #readOffsets: ReadOffsetKeeper;
  readonly #retention: Retention;
  readonly #term: CoordinatorTerm;

  constructor(deps: TermDeps, context: TermContext, store: JobStore, recovered: Recovered) {
    const { records, metrics, log, rememberedJobsMax } = deps;
    this.#deps = deps;
    this.#context = context;
    this.#store = store;
    this.#resultEnds = recovered.resultEnds;
    this.#taskEnds = new Map(recovered.taskEnds);
    this.#submissions = seenSubmissions(recovered);
    this.#signal = AbortSignal.any([context.signal, this.#ending.signal]);
    this.#reader = records.resultReader(async (record) => this.#handleResult(record));
    this.#watchers = createWatchers({ store, metrics, log });
    this.#readOffsets = keepReadOffsets({
      epoch: context.epoch,
      log,
      initial: recovered.readOffsets,
      recovered: Object.values(recovered.state.jobs).map(({ metadata }) => metadata),
      positions: () => this.#positions(),
      save: async (lowest) => store.saveReadOffsets(lowest),
    });
    this.#retention = createRetention({ rememberedMax: rememberedJobsMax, recovered: recovered.jobs });
    this.#term = this.#createTerm(recovered.state);
  }

  async run(): Promise<TermEnd> {
    let intake: Following | undefined;
    try {
      await this.#untilEnded(this.#term.feed({ type: 'resumed' }));
      for (const [partition, end] of this.#resultEnds) this.#reader.lead(partition, end);
      this.#reader.start();
      intake = await this.#untilEnded(this.#followIntake());
      return await this.#term.ended;
    } finally {
      this.#ending.abort();
      this.#watchers.close();
      this.#readOffsets.close();
      // Nothing of this term acts any more. Brokers and servers may learn of it later.
      void Promise.all([this.#reader.stop(), intake?.close()]).catch((err: unknown) => {
        const { epoch } = this.#context;
        this.#deps.log.warn({ event: 'coordinator.end_failed', epoch, code: codeOf(err), err });
      });
    }
  }

  #createTerm(initial: CoordinatorState): CoordinatorTerm {
    const { records, blobs, tasks, metrics, log, crash } = this.#deps;
    const { epoch, writes } = this.#context;
    const handlers = createEffects({
      epoch,
      store: this.#store,
      writes,
      records,
      blobs,
      tasks,
      metrics,
      log,
      crash,
      submissions: this.#submissions,
      readOffsets: this.#readOffsets,
      retention: this.#retention,
      signal: this.#signal,
      onSent: (partition, offset) =>
        this.#taskEnds.set(partition, Math.max(this.#taskEnds.get(partition) ?? 0, offset + 1)),
      feed: async (event) => this.#term.feed(event),
    });
    return new CoordinatorTerm({
      initial,
      handlers,
      timers: this.#retention.from(createTimers()),
      log,
      signal: this.#signal,
      onState: (state) => this.#onState(state),
    });
  }

  #onState(state: CoordinatorState): void {
    this.#watchers.note(state);
    for (const jobId of this.#retention.tooMany(state))
      void this.#term.feed({ type: 'timeout', timer: { kind: 'retention', jobId } });
  }

  async #handleResult({ value, partition, offset }: IncomingRecord): Promise<void> {
    const parsed = parseResult(value);
    if ('record' in parsed) {
      await this.#untilEnded(this.#term.feed({ type: 'result', record: parsed.record }));
    } else {
      this.#deps.log.warn({ event: 'result.unreadable', partition, offset, issues: parsed.issues });
    }
  }

  async #followIntake(): Promise<Following> {
    return followIntake({
      store: this.#store,
      submissions: this.#submissions,
      log: this.#deps.log,
      signal: this.#signal,
      state: () => this.#term.state,
      feed: async (event) => this.#untilEnded(this.#term.feed(event)),
      onFailed: (error) => this.#term.end(error),
    });
  }

  /** For each partition, the offset of the next record, or an earlier one. */
  #positions(): ReadOffsets {
    const results: ReadOffsets['results'] = {};
    for (const [partition, end] of this.#resultEnds)
      results[partition] = this.#reader.position(partition) ?? end;
    return { tasks: Object.fromEntries(this.#taskEnds), results };
  }

  /** Resolves with the result of `work`, or with undefined when the term ends first. */
  async #untilEnded<T>(work: Promise<T>): Promise<T | undefined> {
    return Promise.race([work, this.#term.ended.then(() => undefined)]);
  }
}

function seenSubmissions({ jobs }: Recovered): Map<string, Submission> {
  const seen = jobs.filter(({ document }) => document.metadata !== null);
  return new Map(seen.map(({ id, document }) => [id, document.submission]));
}
