/**
 * Reads the partitions of one topic that this process leads, each from an offset that its caller
 * names. kafkajs has no `assign()`, so each reader is the only member of a group with a new name:
 * it gets every partition and pauses those that it does not lead. It takes no offset from the group
 * and commits none, and never waits for a dead member.
 */
import { randomUUID } from 'node:crypto';
import { sleep } from '@thermomesh/runtime';
import { disconnected, type Client, type Consumer, type EachBatchPayload } from './client.ts';
import { classifyKafkaError, KafkaClosedError, kindOfKafkaError } from './errors.ts';
import { retryPauseMs } from './retry.ts';
import { Slot, type IncomingRecord } from './slot.ts';

export interface ReaderOptions {
  topic: string;
  /**
   * Awaited before the next record of the same partition; partitions are independent of each other.
   */
  handle: (record: IncomingRecord) => Promise<void>;
  /** `handle` threw: the partition is not read any more. */
  onFailed: (partition: number, error: unknown) => void;
}

export interface PartitionReader {
  /** Joins the group and reads. Returns at once; `isReading` tells when it reads. */
  start(): void;
  /**
   * Reads the partition from that offset, or from the first one that the topic still holds. If the
   * partition is already read, reading starts again at the offset.
   */
  lead(partition: number, fromOffset: number): void;
  /**
   * Stops reading the partition and drops the records that wait. Resolves when the record that is
   * being handled is done.
   */
  release(partition: number): Promise<void>;
  /** The offset of the next record that `handle` gets; undefined if the partition is not led. */
  position(partition: number): number | undefined;
  /** True while the reader has joined and its fetches are answered. */
  isReading(): boolean;
  /** Leaves the group. Resolves when no record is being handled any more. Idempotent. */
  stop(): Promise<void>;
}

/** Creates a reader of `client` that is not started. Calls `onStopped` when it has stopped. */
export function openReader(
  client: Client,
  options: ReaderOptions,
  onStopped: () => void = () => undefined,
): PartitionReader {
  return new GroupOfOneReader(client, options, onStopped);
}

/** How the reader stands to its group. */
type Membership =
  | { name: 'none' }
  | { name: 'joining'; consumer: Consumer }
  | { name: 'joined'; consumer: Consumer; assigned: readonly number[] };

class GroupOfOneReader implements PartitionReader {
  readonly #client: Client;
  readonly #options: ReaderOptions;
  readonly #onStopped: () => void;
  readonly #slots = new Map<number, Slot>();
  /**
   * For each partition, resolves when the records that its dropped slots were handling are done.
   */
  readonly #ending = new Map<number, Promise<void>>();
  readonly #abort = new AbortController();
  #membership: Membership = { name: 'none' };
  #lastFetchAt = 0;
  #running: Promise<void> | undefined;

  constructor(client: Client, options: ReaderOptions, onStopped: () => void) {
    this.#client = client;
    this.#options = options;
    this.#onStopped = onStopped;
  }

  start(): void {
    if (this.#abort.signal.aborted) throw new KafkaClosedError();
    this.#running ??= this.#run();
  }

  lead(partition: number, fromOffset: number): void {
    if (this.#abort.signal.aborted) return;
    const slot = new Slot({
      after: this.#drop(partition),
      fromOffset,
      recordsMax: this.#client.settings.readBufferRecordsMax,
      handle: this.#options.handle,
      onRoom: () => this.#slots.get(partition) === slot && this.#place(partition, 'resume'),
      onFailed: (error) => {
        void this.#drop(partition);
        this.#options.onFailed(partition, error);
      },
    });
    this.#slots.set(partition, slot);
    this.#place(partition, 'seek');
  }

  async release(partition: number): Promise<void> {
    await this.#drop(partition);
  }

  position(partition: number): number | undefined {
    return this.#slots.get(partition)?.position;
  }

  isReading(): boolean {
    return (
      this.#membership.name === 'joined' &&
      Date.now() - this.#lastFetchAt < this.#client.settings.requestTimeoutMs
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    for (const partition of [...this.#slots.keys()]) void this.#drop(partition);
    await this.#running;
    await Promise.all(this.#ending.values());
    this.#onStopped();
  }

  /** Resolves when the record that is being handled is done. */
  #drop(partition: number): Promise<void> {
    const slot = this.#slots.get(partition);
    const former = this.#ending.get(partition) ?? Promise.resolve();
    if (slot === undefined) return former;
    this.#slots.delete(partition);
    this.#place(partition, 'pause');
    const ended = Promise.all([former, slot.close()]).then(() => {
      if (this.#ending.get(partition) === ended) this.#ending.delete(partition);
    });
    this.#ending.set(partition, ended);
    return ended;
  }

  /** Runs one consumer after another, each in its own group, until stopped. */
  async #run(): Promise<void> {
    const { settings, reporting } = this.#client;
    const { topic } = this.#options;
    const { signal } = this.#abort;
    for (let failures = 0; !signal.aborted;) {
      const startedAt = Date.now();
      const error = await this.#consume();
      if (signal.aborted) return;
      const code = kindOfKafkaError(classifyKafkaError(error));
      reporting.log.warn({ event: 'kafka.reader_lost', topic, code });
      reporting.observer.readerRestarted?.(topic, code);
      failures = Date.now() - startedAt > settings.readerStallTimeoutMs ? 0 : failures + 1;
      await sleep(retryPauseMs(settings, failures), signal);
    }
  }

  /** Joins and fetches until something breaks or the reader is stopped; returns what broke. */
  async #consume(): Promise<unknown> {
    const { settings, kafka, retry } = this.#client;
    const { signal } = this.#abort;
    const consumer = kafka.consumer({
      groupId: `${settings.clientId}-${randomUUID()}`,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatIntervalMs,
      maxWaitTimeInMs: settings.fetchWaitMs,
      maxBytesPerPartition: settings.fetchPartitionBytesMax,
      allowAutoTopicCreation: false,
      retry,
    });
    let onEnd: (error?: unknown) => void = () => undefined;
    const ended = new Promise<unknown>((resolve) => (onEnd = resolve));
    const stopped = () => onEnd();
    signal.addEventListener('abort', stopped, { once: true });
    consumer.on(consumer.events.CRASH, ({ payload }) => onEnd(payload.error));
    consumer.on(consumer.events.FETCH, () => void (this.#lastFetchAt = Date.now()));
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
      this.#onJoined(consumer, payload.memberAssignment[this.#options.topic] ?? []),
    );
    this.#lastFetchAt = Date.now();
    const stall = setInterval(() => {
      if (Date.now() - this.#lastFetchAt > settings.readerStallTimeoutMs)
        onEnd(new Error('no fetch was answered'));
    }, settings.heartbeatIntervalMs);
    this.#membership = { name: 'joining', consumer };
    const begun = this.#begin(consumer).catch(onEnd);
    const error = await ended;
    clearInterval(stall);
    signal.removeEventListener('abort', stopped);
    this.#membership = { name: 'none' };
    await this.#end(consumer, begun);
    return error;
  }

  /** False for a consumer that another one has replaced. */
  #isPresent(consumer: Consumer): boolean {
    return this.#membership.name !== 'none' && this.#membership.consumer === consumer;
  }

  async #begin(consumer: Consumer): Promise<void> {
    await consumer.connect();
    if (!this.#isPresent(consumer)) return;
    await consumer.subscribe({ topics: [this.#options.topic], fromBeginning: true });
    if (!this.#isPresent(consumer)) return;
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (payload) => this.#onBatch(consumer, payload),
    });
  }

  /**
   * Leaves the group once the consumer has joined or failed to. A broker that hangs must not delay
   * the next reader.
   */
  async #end(consumer: Consumer, begun: Promise<void>): Promise<void> {
    await disconnected(
      this.#client,
      begun.then(async () => consumer.disconnect()),
    );
  }

  /**
   * Runs before the first fetch of a new assignment, which would otherwise start at the group's
   * offset.
   */
  #onJoined(consumer: Consumer, partitions: readonly number[]): void {
    if (!this.#isPresent(consumer)) return;
    this.#membership = { name: 'joined', consumer, assigned: partitions };
    for (const partition of partitions) this.#place(partition, this.#slots.has(partition) ? 'seek' : 'pause');
    const { topic } = this.#options;
    this.#client.reporting.log.info({ event: 'kafka.reader_joined', topic, partitions: this.#slots.size });
  }

  /** Passes the slot's wish to the consumer; if none has joined, `#onJoined` does it later. */
  #place(partition: number, what: 'seek' | 'pause' | 'resume'): void {
    const { topic } = this.#options;
    const membership = this.#membership;
    const slot = this.#slots.get(partition);
    if (membership.name !== 'joined' || !membership.assigned.includes(partition)) return;
    const { consumer } = membership;
    const partitions = [{ topic, partitions: [partition] }];
    try {
      if (what === 'seek' && slot !== undefined)
        consumer.seek({ topic, partition, offset: String(slot.nextOffset) });
      if (what === 'pause' || slot?.isFull === true) consumer.pause(partitions);
      else consumer.resume(partitions);
    } catch (error) {
      // The consumer has crashed and not reported it yet. Its successor sets all positions when it
      // joins.
      const code = kindOfKafkaError(error);
      this.#client.reporting.log.debug({ event: 'kafka.placement_failed', topic, partition, code });
    }
  }

  /**
   * Puts the records into the slot and returns at once: fetches and heartbeats never wait for work.
   */
  async #onBatch(consumer: Consumer, payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { partition } = batch;
    const slot = this.#slots.get(partition);
    if (!this.#isPresent(consumer)) return;
    if (slot === undefined) return this.#place(partition, 'pause');
    const { reporting } = this.#client;
    const { topic } = this.#options;
    const records = batch.messages.map((message) => ({
      partition,
      offset: Number(message.offset),
      key: message.key,
      value: message.value,
      timestampMs: Number(message.timestamp),
    }));
    const outcome = slot.accept(records);
    if (outcome.kind === 'gap') return this.#place(partition, 'seek');
    if (outcome.kind === 'expired')
      reporting.log.warn({ event: 'kafka.records_expired', topic, partition, records: outcome.records });
    payload.resolveOffset(String(slot.nextOffset - 1));
    if (slot.isFull) this.#place(partition, 'pause');
    const lag = Math.max(0, Number(batch.highWatermark) - slot.nextOffset);
    reporting.observer.read?.(topic, partition, records.length, lag);
  }
}
