/** How a coordinator begins: from the jobs in ZooKeeper and the records on Kafka, both read after its epoch was won (I5). */
import type { JobMetadata, ResultRecord, TaskRecord } from '@thermomesh/contracts';
import { recover, type CoordinatorState, type MapReduceLimits } from '@thermomesh/mapreduce';
import type { Records, WantedRecords } from '../adapters/kafka-records.ts';
import type { JobStore, StoredJob } from '../adapters/zookeeper-job-store.ts';
import { noMarks, parseMarks, type Marks } from './marks.ts';

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
  /** All that were accepted: those of the state, and those that no coordinator has seen yet. */
  jobs: readonly StoredJob[];
  /** From where the topics were read. */
  marks: Marks;
  /** Where they go on, by partition. */
  taskEnds: ReadonlyMap<number, number>;
  resultEnds: ReadonlyMap<number, number>;
}

/** @throws DeposedError, the reason of `signal`, KafkaRefusedError */
export async function recoverJobs(options: RecoveryOptions): Promise<Recovered> {
  const { epoch, limits, store, records, deadlineMs, signal } = options;
  const jobs = await store.readAll();
  const known = jobs.flatMap(({ document: { metadata } }) => (metadata === null ? [] : [metadata]));
  const marks = parseMarks(await store.readMarks());
  await records.ensure(signal);
  const wanted = wantedFor(known, epoch, marks);
  const { records: read, taskEnds, resultEnds } = await records.readBack(wanted, deadlineMs, signal);
  return { state: recover(known, read, epoch, limits), jobs, marks, taskEnds, resultEnds };
}

/**
 * Of jobs that are under way, the records of their phase; of the rest only what tells of a newer coordinator, or of a newer leader of
 * its partition. Else memory would hold all that the topics do.
 */
export function wantedFor(
  jobs: readonly JobMetadata[],
  epoch: number,
  marks: Marks = noMarks,
): WantedRecords {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const isUnderWay = ({ jobId, phase }: TaskRecord | ResultRecord) => byId.get(jobId)?.phase === phase;
  const highest = new Map<number, number>();
  return {
    from: { tasks: offsetsOf(marks.tasks), results: offsetsOf(marks.results) },
    task: isUnderWay,
    result(record) {
      const { partition, partitionEpoch, coordinatorEpoch } = record;
      const isNewer = partitionEpoch > (highest.get(partition) ?? 0) && coordinatorEpoch <= epoch;
      if (isNewer) highest.set(partition, partitionEpoch);
      return isUnderWay(record) || isNewer || coordinatorEpoch > epoch;
    },
  };
}

function offsetsOf(offsets: Marks['tasks']): ReadonlyMap<number, number> {
  return new Map(Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]));
}
