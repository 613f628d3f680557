/**
 * The outgoing records of one partition: one batch at a time, repeated unchanged until the brokers
 * have it. After an abandoned batch that may have been stored, no other batch may use the same
 * sequence number: the broker would take it for the repetition and acknowledge it without storing
 * it.
 */
import { checkRecordBytes } from '@thermomesh/contracts';

/** A record to append. */
export interface OutgoingRecord {
  key: Buffer | null;
  value: Buffer;
}

interface Waiting extends OutgoingRecord {
  resolve: (offset: number) => void;
  reject: (error: unknown) => void;
}

export interface LaneOptions {
  batchRecordsMax: number;
  batchBytesMax: number;
  /** Appends the records; returns the offset of the first. */
  append: (records: OutgoingRecord[]) => Promise<number>;
  /** Gets the number of bytes that came in (positive) or left the queue (negative). */
  onBytes: (bytes: number) => void;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /**
   * Queues a record.
   * @returns its offset, once every in-sync replica has it
   * @throws RecordTooLargeError
   */
  async send(record: OutgoingRecord, what: string): Promise<number> {
    checkRecordBytes(record.key, record.value, what);
    this.#options.onBytes(bytesOf(record));
    const sent = new Promise<number>((resolve, reject) => this.#waiting.push({ ...record, resolve, reject }));
    this.#running ??= this.#run();
    return sent;
  }

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Waits one turn, so that records sent together travel together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#sendBatch(this.#takeBatch());
    this.#running = undefined;
  }

  #takeBatch(): Waiting[] {
    const { batchRecordsMax, batchBytesMax } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const record of this.#waiting) {
      bytes += bytesOf(record);
      if (count > 0 && (count >= batchRecordsMax || bytes > batchBytesMax)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #sendBatch(batch: Waiting[]): Promise<void> {
    try {
      const base = await this.#options.append(batch.map(({ key, value }) => ({ key, value })));
      batch.forEach(({ resolve }, index) => resolve(base + index));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#options.onBytes(-batch.reduce((sum, record) => sum + bytesOf(record), 0));
    }
  }
}

function bytesOf({ key, value }: OutgoingRecord): number {
  return value.length + (key?.length ?? 0);
}
