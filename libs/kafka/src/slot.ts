/** One partition that is read: what has arrived, in order and without gaps, and what is being handled. */

/** A record that was read. */
export interface IncomingRecord {
  partition: number;
  offset: number;
  key: Buffer | null;
  value: Buffer | null;
  /** Unix ms, of whoever appended it. */
  timestampMs: number;
}

export interface SlotOptions {
  /** Nothing is handled before this: what an earlier slot of the partition is at. */
  after: Promise<void>;
  fromOffset: number;
  /** Records that wait; with more, {@link Slot.isFull}. */
  recordsMax: number;
  handle: (record: IncomingRecord) => Promise<void>;
  /** It was full and has room again. */
  onRoom: () => void;
  /** `handle` threw; nothing more is handled. */
  onFailed: (error: unknown) => void;
}

/** What became of records that arrived. */
export type Accepted =
  | { kind: 'taken' }
  /** Records before them are missing: fetch from `nextOffset` again. */
  | { kind: 'gap' }
  /** They are missing however often one looks: the topic no longer has them. */
  | { kind: 'expired'; records: number };

/** After so many looks records count as missing. */
const looksMax = 3;

export class Slot {
  readonly #options: SlotOptions;
  readonly #queue: IncomingRecord[] = [];
  #next: number;
  #handled: number;
  #looks = 0;
  #isFull = false;
  #closed = false;
  #running: Promise<void> | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.#next = options.fromOffset;
    this.#handled = options.fromOffset;
  }

  /** The offset of the record that must arrive next. */
  get nextOffset(): number {
    return this.#next;
  }

  /** The offset of the next record that `handle` gets. */
  get position(): number {
    return this.#handled;
  }

  /** True from when too many wait until half of them are gone. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Takes records in the order of their offsets. Those that were there before are passed over: a reconnect brings them again. */
  accept(records: readonly IncomingRecord[]): Accepted {
    const fresh = records.filter(({ offset }) => offset >= this.#next);
    const [first] = fresh;
    if (first === undefined || this.#closed) return { kind: 'taken' };
    const missing = first.offset - this.#next;
    // A fetch that was under way when the offset was set brings records from elsewhere: that is no loss.
    if (missing > 0 && ++this.#looks < looksMax) return { kind: 'gap' };
    this.#looks = 0;
    this.#next = (fresh.at(-1)?.offset ?? first.offset) + 1;
    this.#queue.push(...fresh);
    this.#isFull ||= this.#queue.length >= this.#options.recordsMax;
    this.#running ??= this.#run();
    return missing > 0 ? { kind: 'expired', records: missing } : { kind: 'taken' };
  }

  /** Drops what waits. Settles when the record that is being handled is done with. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#queue.length = 0;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { after, handle, onRoom, onFailed, recordsMax } = this.#options;
    await after;
    for (let record = this.#queue.shift(); record !== undefined; record = this.#queue.shift()) {
      try {
        await handle(record);
      } catch (error) {
        this.#running = undefined;
        if (this.#closed) return;
        return onFailed(error);
      }
      this.#handled = record.offset + 1;
      if (this.#isFull && this.#queue.length <= recordsMax / 2) {
        this.#isFull = false;
        if (!this.#closed) onRoom();
      }
    }
    this.#running = undefined;
  }
}
