/** The partitions that this node leads: PartitionLeadership says which, one reader reads them all, each goes on by itself. */
import type { PartitionReader } from '@thermomesh/kafka';
import type { LeaderLimits } from '@thermomesh/mapreduce';
import { codeOf, type CrashHook, type Log } from '@thermomesh/runtime';
import {
  PartitionLeadership,
  type Lease,
  type PartitionListener,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import { fencedWrites } from '../adapters/fenced-writes.ts';
import type { Records } from '../adapters/kafka-records.ts';
import { createProgressStore } from '../adapters/zookeeper-progress.ts';
import { nodesOf } from '../core/jobs.ts';
import type { EqualizerMetrics } from '../metrics.ts';
import type { TaskWork } from './moot-tasks.ts';
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
  /** What this node leads at this moment. */
  readonly leading: readonly number[];
  /** A coordinator of that epoch was elected: tasks of older ones are passed over. */
  coordinatorSeen(epoch: number): void;
  /** Why this node cannot lead. */
  fault(): string | undefined;
  /** Hands the partitions over, each after its task in flight. Idempotent. */
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
  #fault: string | undefined;
  #topicsFault: string | undefined;
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
      ...{ records, log, reader: this.#reader, signal: this.#stopping.signal },
      onFault: (error) => {
        this.#topicsFault = error === undefined ? undefined : faultOf(error);
      },
    });
  }

  coordinatorSeen(epoch: number): void {
    for (const partition of this.#partitions) void partition.coordinatorSeen(epoch);
  }

  fault(): string | undefined {
    return this.#fault ?? this.#topicsFault;
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
      ...{ partition, limits, records, work, metrics, log, crash },
      reader: () => this.#reader,
      progressUnder: (lease) =>
        createProgressStore({
          zk,
          root,
          writes: fencedWrites(zk, lease),
          onUnreadable: (which, faults) =>
            log.error({ event: 'progress.unreadable', partition: which, faults }),
        }),
    });
  }

  #listener(): PartitionListener {
    const { metrics, log } = this.#options;
    const note = (event: string, partition: number, { epoch }: Lease) =>
      log.info({ event, partition, epoch: Number(epoch) });
    return {
      gained: (partition, lease) => {
        metrics.leading.inc();
        note('partition.gained', partition, lease);
        void this.#partitions[partition]?.gained(lease);
      },
      handingOver: async (partition, lease) => {
        note('partition.handing_over', partition, lease);
        await this.#partitions[partition]?.handOver();
      },
      lost: (partition, lease, end) => {
        metrics.leading.dec();
        log.info({ event: 'partition.lost', partition, epoch: Number(lease.epoch), end });
        void this.#partitions[partition]?.lost(lease);
      },
      failed: (error) => {
        this.#fault = faultOf(error);
        log.error({ event: 'partitions.failed', code: codeOf(error), err: error });
      },
    };
  }
}

function faultOf(error: unknown): string {
  return `cannot lead partitions: ${codeOf(error)}`;
}
