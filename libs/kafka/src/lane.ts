/**
 * The records of one partition on their way: one batch at a time, and the same batch again until the brokers have it. A batch that
 * was given up after it had perhaps been stored must not be followed by another one under the same sequence number: the broker would
 * take that for the repetition and acknowledge it unread.
 */
import { checkRecordBytes } from '@thermomesh/contracts';

/** A record to be appended. */
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
  /** Bytes came in (positive) or are done with (negative). */
  onBytes: (bytes: number) => void;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** @returns its offset, when every replica that is in sync has it. @throws RecordTooLargeError */
  async send(record: OutgoingRecord, what: string): Promise<number> {
    checkRecordBytes(record.key, record.value, what);
    this.#options.onBytes(bytesOf(record));
    const sent = new Promise<number>((resolve, reject) => this.#waiting.push({ ...record, resolve, reject }));
    this.#running ??= this.#run();
    return sent;
  }

  /** Settles when nothing waits any more. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // One turn later, so that records sent together travel together.
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
