/**
 * Rebuilds a coordinator's state from the jobs in ZooKeeper and the records on Kafka, both of which
 * are read after its election (I5).
 */
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import { recover, type CoordinatorState, type MapReduceLimits } from '@thermomesh/mapreduce';
import type { Records, WantedRecords, JobStore, StoredJob } from '../core/ports.ts';
import { noReadOffsets, parseReadOffsets, type ReadOffsets } from './read-offsets.ts';

export interface RecoveryOptions {
  epoch: number;
  limits: MapReduceLimits;
  store: JobStore;
  records: Records;
  deadlineMs: number;
  signal: AbortSignal;
}

export interface Recovered {
  state: CoordinatorState;
  /** All accepted jobs, also those that no coordinator has seen yet. */
  jobs: readonly StoredJob[];
  /** The offsets from which the topics were read. */
  readOffsets: ReadOffsets;
  /** The next offset of each partition of the task topic. */
  taskEnds: ReadonlyMap<number, number>;
  /** The next offset of each partition of the result topic. */
  resultEnds: ReadonlyMap<number, number>;
}

/** Recovers all jobs. @throws DeposedError, the reason of `signal`, KafkaRefusedError */
export async function recoverJobs(options: RecoveryOptions): Promise<Recovered> {
  const { epoch, limits, store, records, deadlineMs, signal } = options;
  const jobs = await store.readAll();
  const known = jobs.flatMap(({ document: { metadata } }) => (metadata === null ? [] : [metadata]));
  const readOffsets = parseReadOffsets(await store.loadReadOffsets());
  await records.ensure(signal);
  const wanted = wantedFor(known, epoch, readOffsets);
  const { records: read, taskEnds, resultEnds } = await records.readBack(wanted, deadlineMs, signal);
  return { state: recover(known, read, epoch, limits), jobs, readOffsets, taskEnds, resultEnds };
}

/**
 * Selects the records that the recovery keeps: of running jobs, those of their phase; of all
 * others, only those of a newer coordinator or of a newer leader of a partition. Otherwise memory
 * would have to hold everything that the topics hold.
 */
export function wantedFor(
  jobs: readonly JobMetadata[],
  epoch: number,
  readOffsets: ReadOffsets = noReadOffsets,
): WantedRecords {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const isOfRunningPhase = ({ jobId, phase }: TaskRecord | ResultRecord) => byId.get(jobId)?.phase === phase;
  const highest = new Map<number, number>();
  return {
    from: { tasks: offsetsOf(readOffsets.tasks), results: offsetsOf(readOffsets.results) },
    task: isOfRunningPhase,
    result(record) {
      const { partition, partitionEpoch, coordinatorEpoch } = record;
      const isNewer = partitionEpoch > (highest.get(partition) ?? 0) && coordinatorEpoch <= epoch;
      if (isNewer) highest.set(partition, partitionEpoch);
      return isOfRunningPhase(record) || isNewer || coordinatorEpoch > epoch;
    },
  };
}

function offsetsOf(offsets: ReadOffsets['tasks']): ReadonlyMap<number, number> {
  return new Map(Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]));
}
