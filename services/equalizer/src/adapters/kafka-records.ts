/**
 * Tasks and results on Kafka: two topics with equally many partitions. The result of a task goes to
 * the partition with the number of the task's own.
 */
import {
  encodeResult,
  encodeTask,
  parseResult,
  parseTask,
  type ResultRecord,
  type TaskRecord,
} from '@thermomesh/contracts';
import type { IncomingRecord, KafkaClient, PartitionReader, TopicSpec } from '@thermomesh/kafka';
import { isRetriable, raceAbort, sleep, codeOf, type Log } from '@thermomesh/runtime';
import type { ReadBack, Records, WantedRecords } from '../core/ports.ts';

export interface RecordsOptions {
  kafka: KafkaClient;
  topicPrefix: string;
  partitions: number;
  replication: number;
  retentionMs: number;
  log: Log;
  /** Aborts when the process stops. */
  signal: AbortSignal;
}

const retryPauseMs = 250;
/** Calls of `taskEnds` within this time share one request. */
const gatherMs = 5;

/** Connects at the first call. */
export function createRecords(options: RecordsOptions): Records {
  return new KafkaRecords(options);
}

type Handle = (record: IncomingRecord) => Promise<void>;

/** What a started reader reads. */
interface Reading {
  readonly topic: string;
  /** Partitions that the reader has abandoned. */
  readonly abandoned: Set<number>;
}

class KafkaRecords implements Records {
  readonly #options: RecordsOptions;
  readonly #tasks: string;
  readonly #results: string;
  /** The started readers. */
  readonly #reading = new Map<PartitionReader, Reading>();
  #ensured: Promise<void> | undefined;
  #topicsExist = false;
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
    await raceAbort(this.#ensured, signal);
  }

  async sendTask(partition: number, task: TaskRecord, signal: AbortSignal): Promise<number> {
    return this.#send('task', this.#tasks, partition, encodeTask(task), signal);
  }

  async sendResult(result: ResultRecord, signal: AbortSignal): Promise<void> {
    await this.#send('result', this.#results, result.partition, encodeResult(result), signal);
  }

  async taskEnds(signal: AbortSignal): Promise<ReadonlyMap<number, number>> {
    return this.#until('ends', signal, async () => {
      this.#gathering ??= sleep(gatherMs).then(async () => {
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

  unhealthyReason(): string | undefined {
    if (!this.#topicsExist) return 'the topics do not exist yet';
    for (const [reader, { topic, abandoned }] of this.#reading) {
      if (!reader.isReading()) return `${topic} is not read`;
      if (abandoned.size > 0) return `${topic} is not read in partition ${[...abandoned].join(', ')}`;
    }
    return this.#options.kafka.producer.state() === 'failing' ? 'records are not accepted' : undefined;
  }

  async #ensure(): Promise<void> {
    const { kafka, log, signal, partitions, replication, retentionMs } = this.#options;
    // With three copies, two must have a record; with one copy, that one.
    const copies = { replicationFactor: replication, minInSyncReplicas: replication >= 3 ? 2 : 1 };
    const specs = [this.#tasks, this.#results].map((topic): TopicSpec => ({
      topic,
      partitions,
      retentionMs,
      ...copies,
    }));
    const made = await this.#until('topics', signal, async () => kafka.admin.ensure(specs));
    this.#topicsExist = true;
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
        return await raceAbort(call(), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isRetriable(error)) throw error;
        this.#options.log.warn({ event: 'kafka.waited_for', what, code: codeOf(error) });
        await sleep(retryPauseMs, signal);
      }
    }
  }

  /** A reader that {@link unhealthyReason} watches from its start to its stop. */
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
