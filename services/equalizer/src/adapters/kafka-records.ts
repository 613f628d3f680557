/** Tasks and results on Kafka: two topics of as many partitions; the result of a task goes to the partition of its number. */
import {
  encodeResult,
  encodeTask,
  parseResult,
  parseTask,
  type ResultRecord,
  type TaskRecord,
} from '@thermomesh/contracts';
import type { IncomingRecord, KafkaClient, PartitionReader, TopicSpec } from '@thermomesh/kafka';
import type { JobRecords } from '@thermomesh/mapreduce';
import { MeshError, type Log } from '@thermomesh/runtime';
import { setTimeout as delay } from 'node:timers/promises';

export interface RecordsOptions {
  kafka: KafkaClient;
  topicPrefix: string;
  partitions: number;
  replication: number;
  retentionMs: number;
  log: Log;
  /** Aborted when the process stops. */
  signal: AbortSignal;
}

/** The two topics, as coordinator and leaders use them. Calls go on trying until `signal` is aborted, and then throw its reason. */
export interface Records {
  /** Settles when both topics are there. */
  ensure(signal: AbortSignal): Promise<void>;
  /** @returns the offset that the task has in its partition */
  sendTask(partition: number, task: TaskRecord, signal: AbortSignal): Promise<number>;
  sendResult(result: ResultRecord, signal: AbortSignal): Promise<void>;
  /** Where each partition of the task topic ends at some moment after the call. */
  taskEnds(signal: AbortSignal): Promise<ReadonlyMap<number, number>>;
  /** What is to be known of both topics, up to their ends of now; and where they go on. */
  readBack(wanted: WantedRecords, deadlineMs: number, signal: AbortSignal): Promise<ReadBack>;
  resultReader(handle: (record: IncomingRecord) => Promise<void>): PartitionReader;
  taskReader(handle: (record: IncomingRecord) => Promise<void>): PartitionReader;
  /** Why Kafka cannot be worked with now: no topics, a reader that does not read, records that are not taken. */
  fault(): string | undefined;
}

/** The rest is passed over: the topics hold a day, and memory holds the jobs that run. */
export interface WantedRecords {
  /** Where to begin, by partition. */
  from: { tasks: ReadonlyMap<number, number>; results: ReadonlyMap<number, number> };
  task(task: TaskRecord): boolean;
  result(result: ResultRecord): boolean;
}

export interface ReadBack {
  records: JobRecords;
  taskEnds: ReadonlyMap<number, number>;
  resultEnds: ReadonlyMap<number, number>;
}

const retryPauseMs = 250;
/** Calls for ends that come within this share one request. */
const gatherMs = 5;

/** Connects nothing before it is used. */
export function createRecords(options: RecordsOptions): Records {
  return new KafkaRecords(options);
}

type Handle = (record: IncomingRecord) => Promise<void>;

/** What a reader should read. */
interface Reading {
  readonly topic: string;
  /** Partitions that it has given up. */
  readonly abandoned: Set<number>;
}

class KafkaRecords implements Records {
  readonly #options: RecordsOptions;
  readonly #tasks: string;
  readonly #results: string;
  /** Those that read now or should. */
  readonly #reading = new Map<PartitionReader, Reading>();
  #ensured: Promise<void> | undefined;
  #isThere = false;
  #gathering: Promise<ReadonlyMap<number, number>> | undefined;

  constructor(options: RecordsOptions) {
    this.#options = options;
    this.#tasks = `${options.topicPrefix}.tasks`;
    this.#results = `${options.topicPrefix}.results`;
  }

  async ensure(signal: AbortSignal): Promise<void> {
    this.#ensured ??= this.#ensure().catch((error: unknown) => {
      this.#ensured = undefined;
      throw error;
    });
    await orAborted(this.#ensured, signal);
  }

  async sendTask(partition: number, task: TaskRecord, signal: AbortSignal): Promise<number> {
    return this.#send('task', this.#tasks, partition, encodeTask(task), signal);
  }

  async sendResult(result: ResultRecord, signal: AbortSignal): Promise<void> {
    await this.#send('result', this.#results, result.partition, encodeResult(result), signal);
  }

  async taskEnds(signal: AbortSignal): Promise<ReadonlyMap<number, number>> {
    return this.#until('ends', signal, async () => {
      this.#gathering ??= delay(gatherMs).then(async () => {
        this.#gathering = undefined;
        const ranges = await this.#options.kafka.admin.ranges(this.#tasks);
        return new Map(ranges.map(({ partition, end }) => [partition, end]));
      });
      return this.#gathering;
    });
  }

  async readBack(wanted: WantedRecords, deadlineMs: number, signal: AbortSignal): Promise<ReadBack> {
    const { kafka } = this.#options;
    return this.#until('read_back', signal, async () => {
      const tasks: TaskRecord[] = [];
      const results: ResultRecord[] = [];
      const onTask = ({ value }: IncomingRecord) => {
        const parsed = parseTask(value);
        if ('record' in parsed && wanted.task(parsed.record)) tasks.push(parsed.record);
      };
      const onResult = ({ value }: IncomingRecord) => {
        const parsed = parseResult(value);
        if ('record' in parsed && wanted.result(parsed.record)) results.push(parsed.record);
      };
      const { from } = wanted;
      const [taskEnds, resultEnds] = await Promise.all([
        kafka.readToEnd({ topic: this.#tasks, from: from.tasks, handle: onTask, deadlineMs }),
        kafka.readToEnd({ topic: this.#results, from: from.results, handle: onResult, deadlineMs }),
      ]);
      return { records: { tasks, results }, taskEnds, resultEnds };
    });
  }

  resultReader(handle: Handle): PartitionReader {
    return this.#reader(this.#results, handle);
  }

  taskReader(handle: Handle): PartitionReader {
    return this.#reader(this.#tasks, handle);
  }

  fault(): string | undefined {
    if (!this.#isThere) return 'the topics are not there yet';
    for (const [reader, { topic, abandoned }] of this.#reading) {
      if (!reader.isReading()) return `${topic} is not read`;
      if (abandoned.size > 0) return `${topic} is not read in partition ${[...abandoned].join(', ')}`;
    }
    return this.#options.kafka.producer.state() === 'failing' ? 'records are not taken' : undefined;
  }

  async #ensure(): Promise<void> {
    const { kafka, log, signal, partitions, replication, retentionMs } = this.#options;
    // Of three copies two must have a record; of one, that one.
    const copies = { replicationFactor: replication, minInSyncReplicas: replication >= 3 ? 2 : 1 };
    const specs = [this.#tasks, this.#results].map((topic): TopicSpec => ({
      ...{ topic, partitions, retentionMs },
      ...copies,
    }));
    const made = await this.#until('topics', signal, async () => kafka.admin.ensure(specs));
    this.#isThere = true;
    if (made.length > 0) log.info({ event: 'kafka.topics_made', topics: made });
  }

  async #send(
    what: string,
    topic: string,
    partition: number,
    value: Buffer,
    signal: AbortSignal,
  ): Promise<number> {
    const { producer } = this.#options.kafka;
    return this.#until(what, signal, async () => producer.send(topic, partition, { key: null, value }));
  }

  async #until<T>(what: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await orAborted(call(), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof MeshError) || !error.retriable) throw error;
        this.#options.log.warn({ event: 'kafka.waited_for', what, code: error.code });
        await delay(retryPauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** A reader that is missed ({@link fault}) from its start to its stop, when it does not read. */
  #reader(topic: string, handle: Handle): PartitionReader {
    const { kafka, log } = this.#options;
    const reading: Reading = { topic, abandoned: new Set() };
    const reader = kafka.reader({
      topic,
      handle,
      onFailed: (partition, err) => {
        reading.abandoned.add(partition);
        log.error({ event: 'kafka.partition_abandoned', topic, partition, err });
      },
    });
    return {
      start: () => {
        this.#reading.set(reader, reading);
        reader.start();
      },
      lead(partition, fromOffset) {
        reading.abandoned.delete(partition);
        reader.lead(partition, fromOffset);
      },
      release: async (partition) => {
        reading.abandoned.delete(partition);
        await reader.release(partition);
      },
      position: (partition) => reader.position(partition),
      isReading: () => reader.isReading(),
      stop: async () => {
        this.#reading.delete(reader);
        await reader.stop();
      },
    };
  }
}

/** Waits for the promise, or throws the signal's reason; what it comes to later is nobody's business then. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    promise.catch(() => undefined);
    aborted.promise.catch(() => undefined);
  }
}
