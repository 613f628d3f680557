/**
 * Appends records: acknowledged by every in-sync replica, in the order of `send` within a
 * partition.
 */
import { disconnected, kafkaJs, type Client, type Producer } from './client.ts';
import type { MeshError } from '@thermomesh/runtime';
import {
  classifyKafkaError,
  isProducerLost,
  KafkaClosedError,
  kafkaError,
  KafkaUnavailableError,
  kindOfKafkaError,
} from './errors.ts';
import { Lane, type OutgoingRecord } from './lane.ts';
import { retryUntil } from './retry.ts';

/** `failing`: the latest attempt failed, and more will follow. */
export type ProducerState = 'unused' | 'connected' | 'failing' | 'closed';

export interface RecordProducer {
  /**
   * Appends a record and returns its offset. Within a partition records keep the order of the
   * calls. Repeats the attempt for `callDeadlineMs`, through elections and restarts of brokers. A
   * record whose call failed may be stored nevertheless.
   * @throws RecordTooLargeError at once; KafkaRefusedError; KafkaUnavailableError; MeshError
   *   `kafka.producer_full`
   */
  send(topic: string, partition: number, record: OutgoingRecord): Promise<number>;
  /** The state, for readiness checks. */
  state(): ProducerState;
  /** Sends the queued records, within the deadlines of their calls, and disconnects. Idempotent. */
  close(): Promise<void>;
}

/** Opens a producer of `client`, which connects on first use. */
export function openProducer(client: Client): RecordProducer {
  return new LaneProducer(client);
}

class LaneProducer implements RecordProducer {
  readonly #client: Client;
  readonly #lanes = new Map<string, Lane>();
  readonly #abort = new AbortController();
  #current: Promise<Producer> | undefined;
  #queuedBytes = 0;
  #state: ProducerState = 'unused';
  #closing: Promise<void> | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  async send(topic: string, partition: number, record: OutgoingRecord): Promise<number> {
    if (this.#closing !== undefined) throw new KafkaClosedError();
    const { producerQueueBytesMax } = this.#client.settings;
    if (this.#queuedBytes >= producerQueueBytesMax) {
      throw kafkaError('kafka.producer_full', `${this.#queuedBytes} bytes wait to be sent`);
    }
    return this.#lane(topic, partition).send(record, `the record for ${topic}/${partition}`);
  }

  state(): ProducerState {
    return this.#state;
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(async (lane) => lane.idle()));
    this.#abort.abort();
    this.#state = 'closed';
    await this.#discard();
  }

  #lane(topic: string, partition: number): Lane {
    const name = `${topic}/${partition}`;
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const { batchRecordsMax, batchBytesMax } = this.#client.settings;
    const lane = new Lane({
      batchRecordsMax,
      batchBytesMax,
      append: async (records) => this.#append(topic, partition, records),
      onBytes: (bytes) => (this.#queuedBytes += bytes),
    });
    this.#lanes.set(name, lane);
    return lane;
  }

  async #append(topic: string, partition: number, records: OutgoingRecord[]): Promise<number> {
    const { settings, reporting } = this.#client;
    const startedAt = Date.now();
    const onRetry = (error: MeshError) => {
      const code = kindOfKafkaError(error);
      reporting.observer.produceRetried?.(topic, code);
      reporting.log.warn({ event: 'kafka.produce_retried', topic, partition, code, records: records.length });
    };
    const retry = { settings, deadlineMs: settings.callDeadlineMs, signal: this.#abort.signal, onRetry };
    let offset: number;
    try {
      offset = await retryUntil(async () => this.#try(topic, partition, records), retry);
    } catch (error) {
      // An attempt that hangs has not said so itself.
      this.#state = 'failing';
      // The batch is abandoned but may be stored: the next batch must not use its sequence number.
      await this.#discard();
      throw error;
    }
    const bytes = records.reduce((sum, { value }) => sum + value.length, 0);
    reporting.observer.produced?.(topic, records.length, bytes, Date.now() - startedAt);
    return offset;
  }

  async #try(topic: string, partition: number, records: OutgoingRecord[]): Promise<number> {
    const current = this.#connect();
    try {
      const producer = await current;
      const messages = records.map(({ key, value }) => ({ key, value, partition }));
      const [answer] = await producer.send({ topic, acks: -1, messages });
      // kafkajs skips a partition that is missing in its metadata, and reports success.
      if (answer === undefined)
        throw new KafkaUnavailableError(undefined, `${topic}/${partition} has no leader`);
      this.#state = 'connected';
      return Number(answer.baseOffset ?? answer.offset ?? -1);
    } catch (error) {
      this.#state = 'failing';
      if (isProducerLost(error)) await this.#discard(current);
      throw classifyKafkaError(error);
    }
  }

  #connect(): Promise<Producer> {
    if (this.#current !== undefined) return this.#current;
    const producer = this.#client.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: kafkaJs.Partitioners.DefaultPartitioner,
      retry: this.#client.retry,
    });
    const opened = producer.connect().then(() => producer);
    this.#current = opened;
    opened.catch(() => {
      if (this.#current === opened) this.#current = undefined;
      // Disconnect what is half connected; the caller that awaits `opened` gets the error.
      producer.disconnect().catch(() => undefined);
    });
    return opened;
  }

  /**
   * Drops the producer, so that the next record is sent by a new one. With `only`, drops it only if
   * it is still that one.
   */
  async #discard(only: Promise<Producer> | undefined = this.#current): Promise<void> {
    if (only === undefined || this.#current !== only) return;
    this.#current = undefined;
    await disconnected(
      this.#client,
      only.then(async (producer) => producer.disconnect()),
    );
  }
}
