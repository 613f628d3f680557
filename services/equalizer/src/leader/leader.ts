/**
 * The leader's role: PartitionLeadership assigns partitions to this node, one reader reads all of
 * them, and each `Partition` handles its own tasks.
 */
import type { PartitionReader } from '@thermomesh/kafka';
import type { LeaderLimits } from '@thermomesh/mapreduce';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import { PartitionLeadership, type PartitionListener, type ZooKeeper } from '@thermomesh/zookeeper';
import { fencedWrites } from '../adapters/fenced-writes.ts';
import { createProgressStore } from '../adapters/zookeeper-progress.ts';
import { nodesOf } from '../core/jobs.ts';
import type { Records } from '../core/ports.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { TaskWork } from './obsolete-tasks.ts';
import { Partition } from './partition.ts';
import { readFromWhenThere } from './topics.ts';

export interface LeaderOptions {
  zk: ZooKeeper;
  root: string;
  /** The name of this node. */
  id: string;
  partitions: number;
  limits: LeaderLimits;
  handOverTimeoutMs: number;
  records: Records;
  work: TaskWork;
  metrics: EqualizerMetrics;
  log: Log;
  crash: CrashHook;
}

export interface Leader {
  start(): void;
  /** The partitions that this node leads now. */
  readonly leading: readonly number[];
  /** Call when a coordinator was elected: tasks of older epochs are skipped from then on. */
  coordinatorSeen(epoch: number): void;
  /** Why this node cannot lead; undefined if it can. */
  unhealthyReason(): string | undefined;
  /** Hands each partition over after its task in flight. Idempotent. */
  stop(): Promise<void>;
}

export function createLeader(options: LeaderOptions): Leader {
  return new LeaderRole(options);
}

class LeaderRole implements Leader {
  readonly #options: LeaderOptions;
  readonly #reader: PartitionReader;
  readonly #partitions: Partition[];
  readonly #leadership: PartitionLeadership;
  readonly #stopping = new AbortController();
  #unhealthyReason: string | undefined;
  #topicsReason: string | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#reader = options.records.taskReader(async (record) =>
      this.#partitions[record.partition]?.handle(record),
    );
    this.#partitions = Array.from({ length: options.partitions }, (_, partition) => this.#open(partition));
    this.#leadership = new PartitionLeadership(options.zk, {
      path: nodesOf(options.root).partitions,
      id: options.id,
      partitions: options.partitions,
      handOverTimeoutMs: options.handOverTimeoutMs,
      listener: this.#listener(),
    });
  }

  get leading(): readonly number[] {
    return this.#leadership.leading;
  }

  start(): void {
    this.#leadership.start();
    const { records, log } = this.#options;
    void readFromWhenThere({
      records,
      log,
      reader: this.#reader,
      signal: this.#stopping.signal,
      onAttempt: (error) => {
        this.#topicsReason = error === undefined ? undefined : reasonOf(error);
      },
    });
  }

  coordinatorSeen(epoch: number): void {
    for (const partition of this.#partitions) void partition.coordinatorSeen(epoch);
  }

  unhealthyReason(): string | undefined {
    return this.#unhealthyReason ?? this.#topicsReason;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#leadership.close();
    await this.#reader.stop();
  }

  #open(partition: number): Partition {
    const { zk, root, limits, records, work, metrics, log, crash } = this.#options;
    return new Partition({
      partition,
      limits,
      records,
      work,
      metrics,
      log,
      crash,
      reader: () => this.#reader,
      progressUnder: (lease) =>
        createProgressStore({
          zk,
          root,
          writes: fencedWrites(zk, lease),
          onUnreadable: (_, issues) => log.error({ event: 'progress.unreadable', partition, issues }),
        }),
    });
  }

  #listener(): PartitionListener {
    const { metrics, log } = this.#options;
    return {
      gained: (partition, lease) => {
        metrics.leading.inc();
        log.info({ event: 'partition.gained', partition, epoch: Number(lease.epoch) });
        void this.#partitions[partition]?.gained(lease);
      },
      handingOver: async (partition, lease) => {
        log.info({ event: 'partition.handing_over', partition, epoch: Number(lease.epoch) });
        await this.#partitions[partition]?.handOver();
      },
      lost: (partition, lease, end) => {
        metrics.leading.dec();
        log.info({ event: 'partition.lost', partition, epoch: Number(lease.epoch), end });
        void this.#partitions[partition]?.lost(lease);
      },
      failed: (err) => {
        this.#unhealthyReason = reasonOf(err);
        log.error({ event: 'partitions.failed', code: codeOf(err), err });
      },
    };
  }
}

function reasonOf(error: unknown): string {
  return `cannot lead partitions: ${codeOf(error)}`;
}
