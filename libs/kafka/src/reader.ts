/**
 * Reads the partitions of one topic that this process leads, each from an offset that its caller names. kafkajs has no `assign()`: a
 * group with one member and a name that nobody had before gets every partition; those not led are paused. No offset is taken from the
 * group and none is committed to it, and nobody waits for a member that died.
 */
import { randomUUID } from 'node:crypto';
import type { Client, Consumer, EachBatchPayload } from './client.ts';
import { classifyKafkaError, KafkaClosedError, kindOfKafkaError } from './errors.ts';
import { pause, pauseOf } from './retry.ts';
import { Slot, type IncomingRecord } from './slot.ts';

export interface ReaderOptions {
  topic: string;
  /** Is awaited before the next record of the same partition; partitions go on beside each other. */
  handle: (record: IncomingRecord) => Promise<void>;
  /** `handle` threw: the partition is not read any more. */
  onFailed: (partition: number, error: unknown) => void;
}

export interface PartitionReader {
  /** Joins and reads. Returns at once; `isReading` says when. */
  start(): void;
  /** Reads the partition from that offset on, or from what the topic still holds. A partition that is read already starts anew. */
  lead(partition: number, fromOffset: number): void;
  /** Reads the partition no more; what waits is dropped. Settles when the record that is being handled is done with. */
  release(partition: number): Promise<void>;
  /** The offset of the next record that `handle` gets; undefined if the partition is not led. */
  position(partition: number): number | undefined;
  /** True while it has joined and its fetches are answered. */
  isReading(): boolean;
  /** Leaves. Settles when no record is being handled any more. Idempotent. */
  stop(): Promise<void>;
}

/** A reader of `client`, not started. `onStopped` is called when it has been stopped. */
export function openReader(
  client: Client,
  options: ReaderOptions,
  onStopped: () => void = () => undefined,
): PartitionReader {
  return new GroupOfOneReader(client, options, onStopped);
}

class GroupOfOneReader implements PartitionReader {
  readonly #client: Client;
  readonly #options: ReaderOptions;
  readonly #onStopped: () => void;
  readonly #slots = new Map<number, Slot>();
  /** By partition: settles when what was being handled for slots that were dropped is done with. */
  readonly #ending = new Map<number, Promise<void>>();
  readonly #abort = new AbortController();
  #consumer: Consumer | undefined;
  #joined = false;
  #assigned: number[] = [];
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
    return this.#joined && Date.now() - this.#lastFetchAt < this.#client.settings.requestTimeoutMs;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    for (const partition of [...this.#slots.keys()]) void this.#drop(partition);
    await this.#running;
    await Promise.all(this.#ending.values());
    this.#onStopped();
  }

  /** Settles when the record that is being handled is done with. */
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

  // ── The group of one ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** One consumer after the other, each in a group of its own, until stopped. */
  async #run(): Promise<void> {
    const { settings, reporting } = this.#client;
    const { topic } = this.#options;
    const { signal } = this.#abort;
    for (let failures = 0; !signal.aborted;) {
      const startedAt = Date.now();
      const error = await this.#consume();
      if (signal.aborted) return;
      const kind = kindOfKafkaError(classifyKafkaError(error));
      reporting.log.warn({ event: 'kafka.reader_lost', topic, kind });
      reporting.observer.readerRestarted?.(topic, kind);
      failures = Date.now() - startedAt > settings.readerStallTimeoutMs ? 0 : failures + 1;
      await pause(pauseOf(settings, failures), signal);
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
    this.#consumer = consumer;
    const begun = this.#begin(consumer).catch(onEnd);
    const error = await ended;
    clearInterval(stall);
    signal.removeEventListener('abort', stopped);
    this.#consumer = undefined;
    this.#joined = false;
    await this.#end(consumer, begun);
    return error;
  }

  async #begin(consumer: Consumer): Promise<void> {
    await consumer.connect();
    if (consumer !== this.#consumer) return;
    await consumer.subscribe({ topics: [this.#options.topic], fromBeginning: true });
    if (consumer !== this.#consumer) return;
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (payload) => this.#onBatch(consumer, payload),
    });
  }

  /** Leaves the group, once it has joined or failed to. A broker that hangs must not hold up the next reader. */
  async #end(consumer: Consumer, begun: Promise<void>): Promise<void> {
    const { settings, reporting } = this.#client;
    const left = begun
      .then(async () => consumer.disconnect())
      .catch((error: unknown) => {
        reporting.log.debug({ event: 'kafka.disconnect_failed', kind: kindOfKafkaError(error) });
      });
    const patience = new AbortController();
    await Promise.race([left, pause(settings.closeTimeoutMs, patience.signal)]);
    patience.abort();
  }

  /** Before the first fetch of a new assignment: it would begin where the group says. */
  #onJoined(consumer: Consumer, partitions: number[]): void {
    if (consumer !== this.#consumer) return;
    this.#joined = true;
    this.#assigned = partitions;
    for (const partition of partitions) this.#place(partition, this.#slots.has(partition) ? 'seek' : 'pause');
    const { topic } = this.#options;
    this.#client.reporting.log.info({ event: 'kafka.reader_joined', topic, partitions: this.#slots.size });
  }

  /** Tells the consumer what the slot wants; if none has joined, `#onJoined` does it later. */
  #place(partition: number, what: 'seek' | 'pause' | 'resume'): void {
    const { topic } = this.#options;
    const consumer = this.#joined ? this.#consumer : undefined;
    const slot = this.#slots.get(partition);
    if (consumer === undefined || !this.#assigned.includes(partition)) return;
    const partitions = [{ topic, partitions: [partition] }];
    try {
      if (what === 'seek' && slot !== undefined)
        consumer.seek({ topic, partition, offset: String(slot.nextOffset) });
      if (what === 'pause' || slot?.isFull === true) consumer.pause(partitions);
      else consumer.resume(partitions);
    } catch (error) {
      // It has crashed and has not said so yet. Its successor is told everything when it joins.
      const kind = kindOfKafkaError(error);
      this.#client.reporting.log.debug({ event: 'kafka.reader_not_there', topic, partition, kind });
    }
  }

  /** Puts the records into the slot and returns at once: fetches and heartbeats never wait for work. */
  async #onBatch(consumer: Consumer, payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { partition } = batch;
    const slot = this.#slots.get(partition);
    if (consumer !== this.#consumer) return;
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
