/** The coordinator's role: stands for election, and for each term that it wins recovers the jobs and hosts `step` (libs/mapreduce). */
import { setTimeout as delay } from 'node:timers/promises';
import { parseResult } from '@thermomesh/contracts';
import type { PartitionReader } from '@thermomesh/kafka';
import type { MapReduceLimits } from '@thermomesh/mapreduce';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import { LeaderElection, type Lease, type ZooKeeper } from '@thermomesh/zookeeper';
import { DeposedError, fencedWrites, type FencedWrites } from '../adapters/fenced-writes.ts';
import { orAborted, type Records } from '../adapters/kafka-records.ts';
import { createJobStore, type Following, type JobStore } from '../adapters/zookeeper-job-store.ts';
import type { BlobStore } from '../core/blob-store.ts';
import { nodesOf, type Submission } from '../core/jobs.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import { createEffects } from './effects.ts';
import { followIntake } from './intake.ts';
import { keepMarks, type Marks } from './marks.ts';
import type { OwnWork } from './own-work.ts';
import { recoverJobs, type Recovered } from './recovery.ts';
import { createRetention } from './retention.ts';
import { Term, type TermEnd } from './term.ts';
import { createTimers } from './timers.ts';
import { createWatchers } from './watchers.ts';

export interface CoordinatorOptions {
  zk: ZooKeeper;
  root: string;
  /** The name of this node. */
  id: string;
  limits: MapReduceLimits;
  /** Jobs that are remembered, over or not: beyond, those that are over are forgotten before their time. */
  rememberedJobsMax: number;
  recoveryDeadlineMs: number;
  records: Records;
  blobs: BlobStore;
  work: OwnWork;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
  /** This node has won that epoch. */
  onElected: (epoch: number) => void;
}

export interface Coordinator {
  start(): void;
  /** The epoch of this node's term; undefined while another one coordinates, or nobody. */
  readonly epoch: number | undefined;
  /** Who coordinates, by the queue of candidates. @throws ZooKeeperError */
  leader(): Promise<{ node: string; epoch: number } | undefined>;
  /** Why this node cannot be elected. */
  fault(): string | undefined;
  /** Finishes the effects under way, gives the seat up and stands no more. Idempotent. */
  stop(): Promise<void>;
}

/** A node whose term failed waits so long before it stands again. */
const failedPauseMs = 1_000;
/** How long the effects under way may take at a stop. */
const settleTimeoutMs = 1_000;

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  return new CoordinatorRole(options);
}

class CoordinatorRole implements Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #election: LeaderElection;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #epoch: number | undefined;
  #fault: string | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { zk, root, id, log } = options;
    this.#election = new LeaderElection(zk, {
      path: nodesOf(root).coordinator,
      id,
      listener: {
        elected: (lease) => {
          this.#running = this.#running.then(async () => this.#lead(lease));
        },
        suspended: () => log.warn({ event: 'coordinator.suspended' }),
        resumed: () => log.info({ event: 'coordinator.resumed' }),
        failed: (error) => {
          this.#fault = `cannot stand for election: ${codeOf(error)}`;
          log.error({ event: 'coordinator.election_failed', code: codeOf(error), err: error });
        },
      },
    });
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  fault(): string | undefined {
    return this.#fault;
  }

  start(): void {
    this.#election.start();
  }

  async leader(): Promise<{ node: string; epoch: number } | undefined> {
    const [first] = await this.#election.standings();
    return first === undefined ? undefined : { node: first.id, epoch: Number(first.epoch) };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.race([this.#running, delay(settleTimeoutMs)]);
    await this.#election.close();
    await this.#running;
  }

  /** From the won epoch to the end of the term. Never rejects. */
  async #lead(lease: Lease): Promise<void> {
    const { metrics, log, onElected } = this.#options;
    const epoch = Number(lease.epoch);
    this.#epoch = epoch;
    metrics.coordinating.set(1);
    metrics.coordinatorEpoch.set(epoch);
    log.info({ event: 'coordinator.elected', epoch });
    onElected(epoch);
    const signal = AbortSignal.any([lease.signal, this.#stopping.signal]);
    const writes = fencedWrites(this.#options.zk, lease);
    let end: TermEnd;
    try {
      end = await this.#serve(epoch, writes, signal);
    } catch (error) {
      end = this.#endOf(error, signal, epoch);
    }
    this.#epoch = undefined;
    metrics.coordinating.set(0);
    metrics.terms.inc({ end });
    if (end === 'deposed') metrics.storesRefused.inc({ role: 'coordinator' });
    log.info({ event: 'coordinator.ended', epoch, end });
    if (lease.signal.aborted || this.#stopping.signal.aborted) return;
    // Somebody else shall try, or does already.
    if (end === 'failed')
      await delay(failedPauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    await lease.release();
  }

  #endOf(error: unknown, signal: AbortSignal, epoch: number): TermEnd {
    if (signal.aborted) return 'stopped';
    if (error instanceof DeposedError) return 'deposed';
    this.#options.log.error({ event: 'coordinator.failed', epoch, code: codeOf(error), err: error });
    return 'failed';
  }

  async #serve(epoch: number, writes: FencedWrites, signal: AbortSignal): Promise<TermEnd> {
    const { zk, root, limits, records, recoveryDeadlineMs, metrics, log } = this.#options;
    const startedAtMs = performance.now();
    const store = createJobStore({
      zk,
      root,
      writes,
      onUnreadable: (job, faults) => log.error({ event: 'job.unreadable', job, faults }),
    });
    const recovering = recoverJobs({
      ...{ epoch, limits, store, records, signal },
      deadlineMs: recoveryDeadlineMs,
    });
    const recovered = await orAborted(recovering, signal);
    const tookMs = performance.now() - startedAtMs;
    metrics.recoveryMs.observe(tookMs);
    const jobs = Object.keys(recovered.state.jobs).length;
    log.info({ event: 'coordinator.recovered', epoch, jobs, tookMs: Math.round(tookMs) });
    // A record names a newer coordinator: whoever that is, this is not it.
    if (recovered.state.deposed) return 'deposed';
    return this.#work(epoch, store, writes, recovered, signal);
  }

  /** From the recovered state to the end of the term. */
  async #work(
    epoch: number,
    store: JobStore,
    writes: FencedWrites,
    recovered: Recovered,
    signal: AbortSignal,
  ): Promise<TermEnd> {
    const { records, blobs, work, metrics, log, crash, rememberedJobsMax } = this.#options;
    const failing = new AbortController();
    const termSignal = AbortSignal.any([signal, failing.signal]);
    const submissions = seenSubmissions(recovered);
    const watchers = createWatchers({ store, metrics, log });
    const taskEnds = new Map(recovered.taskEnds);
    const marks = keepMarks({
      ...{ epoch, log, initial: recovered.marks },
      recovered: Object.values(recovered.state.jobs).map(({ metadata }) => metadata),
      positions: () => positionsOf(taskEnds, recovered.resultEnds, reader),
      save: async (lowest) => store.saveMarks(lowest),
    });
    const retention = createRetention({ rememberedMax: rememberedJobsMax, recovered: recovered.jobs });
    const handlers = createEffects({
      ...{ epoch, store, writes, records, blobs, work, metrics, log, crash, submissions, marks, retention },
      signal: termSignal,
      onSent: (partition, offset) =>
        taskEnds.set(partition, Math.max(taskEnds.get(partition) ?? 0, offset + 1)),
      feed: async (event) => term.feed(event),
    });
    const term = new Term({
      initial: recovered.state,
      handlers,
      timers: retention.from(createTimers()),
      log,
      signal: termSignal,
      onState: (state) => {
        watchers.note(state);
        for (const jobId of retention.tooMany(state))
          void term.feed({ type: 'timeout', timer: { kind: 'retention', jobId } });
      },
    });
    const reader = records.resultReader(async ({ value, partition, offset }) => {
      const parsed = parseResult(value);
      if ('record' in parsed) await orEnded(term.feed({ type: 'result', record: parsed.record }), term.ended);
      else log.warn({ event: 'result.unreadable', partition, offset, faults: parsed.faults });
    });
    let intake: Following | undefined;
    try {
      await orEnded(term.feed({ type: 'resumed' }), term.ended);
      this.#read(reader, recovered.resultEnds);
      const following = followIntake({
        ...{ store, submissions, log, signal: termSignal },
        state: () => term.state,
        feed: async (event) => orEnded(term.feed(event), term.ended),
        onFailed: (error) => {
          term.end(error);
        },
      });
      intake = await orEnded(following, term.ended);
      return await term.ended;
    } finally {
      failing.abort();
      watchers.close();
      marks.close();
      // Nothing of this term acts any more; that brokers and servers hear of it is not waited for.
      void Promise.all([reader.stop(), intake?.close()]).catch((error: unknown) => {
        log.warn({ event: 'coordinator.end_failed', epoch, code: codeOf(error), err: error });
      });
    }
  }

  #read(reader: PartitionReader, ends: ReadonlyMap<number, number>): void {
    for (const [partition, end] of ends) reader.lead(partition, end);
    reader.start();
  }
}

/** Whichever comes first: the promise, or the end of the term. */
async function orEnded<T>(promise: Promise<T>, ended: Promise<TermEnd>): Promise<T | undefined> {
  return Promise.race([promise, ended.then(() => undefined)]);
}

/** What the next record of each partition is, or an earlier one. */
function positionsOf(
  taskEnds: ReadonlyMap<number, number>,
  resultEnds: ReadonlyMap<number, number>,
  reader: PartitionReader,
): Marks {
  const read = [...resultEnds].map(([partition, end]) => [partition, reader.position(partition) ?? end]);
  return { tasks: Object.fromEntries(taskEnds), results: Object.fromEntries(read) as Marks['results'] };
}

/** Of the jobs that a coordinator has seen; the others come by the intake. */
function seenSubmissions({ jobs }: Recovered): Map<string, Submission> {
  const seen = jobs.filter(({ document }) => document.metadata !== null);
  return new Map(seen.map(({ id, document }) => [id, document.submission]));
}
