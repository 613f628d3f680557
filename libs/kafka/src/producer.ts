/** Appends records: acknowledged by every replica in sync, in the order of `send` within a partition. */
import { kafkaJs, type Client, type Producer } from './client.ts';
import { MeshError } from '@thermomesh/runtime';
import {
  classifyKafkaError,
  isProducerLost,
  KafkaClosedError,
  KafkaUnavailableError,
  kindOfKafkaError,
} from './errors.ts';
import { Lane, type OutgoingRecord } from './lane.ts';
import { retryUntil } from './retry.ts';

/** `failing`: the last try was a failure, and others follow. */
export type ProducerState = 'unused' | 'connected' | 'failing' | 'closed';

export interface RecordProducer {
  /**
   * Appends a record and returns its offset. Within a partition records keep the order of the calls. It goes on trying for
   * `callDeadlineMs`, through elections and restarts of brokers. A record whose call failed may be stored all the same.
   * @throws RecordTooLargeError at once; KafkaRefusedError; KafkaUnavailableError; MeshError `kafka.producer_full`
   */
  send(topic: string, partition: number, record: OutgoingRecord): Promise<number>;
  /** For readiness. */
  state(): ProducerState;
  /** Sends what was handed over, by the deadline of its calls, and disconnects. Idempotent. */
  close(): Promise<void>;
}

/** Opens a producer of `client`; it connects when it is first used. */
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
      throw new MeshError('kafka.producer_full', `${this.#queuedBytes} bytes wait to be sent`, {
        retriable: true,
      });
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
      const kind = kindOfKafkaError(error);
      reporting.observer.produceRetried?.(topic, kind);
      reporting.log.warn({ event: 'kafka.produce_retried', topic, partition, kind, records: records.length });
    };
    const retry = { settings, deadlineMs: settings.callDeadlineMs, signal: this.#abort.signal, onRetry };
    let offset: number;
    try {
      offset = await retryUntil(async () => this.#try(topic, partition, records), retry);
    } catch (error) {
      // Given up: whatever comes next must not bear the sequence number of what may have been stored.
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
      // kafkajs passes over a partition that its metadata lack, and calls that sent.
      if (answer === undefined)
        throw new KafkaUnavailableError(undefined, `nobody leads ${topic}/${partition}`);
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
      // What half of it is connected is let go; that it failed is told to whoever awaits it.
      producer.disconnect().catch(() => undefined);
    });
    return opened;
  }

  /** Lets the producer go, so that the next record is sent by a new one; `only`: if it is still that one. */
  async #discard(only: Promise<Producer> | undefined = this.#current): Promise<void> {
    if (only === undefined || this.#current !== only) return;
    this.#current = undefined;
    try {
      await (await only).disconnect();
    } catch (error) {
      this.#client.reporting.log.debug({ event: 'kafka.disconnect_failed', kind: kindOfKafkaError(error) });
    }
  }
}
