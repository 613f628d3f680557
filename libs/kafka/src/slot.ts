/**
 * One partition that is read: the records that have arrived, in sequence and without gaps, and the
 * record being handled.
 */

/** A record that was read. */
export interface IncomingRecord {
  partition: number;
  offset: number;
  key: Buffer | null;
  value: Buffer | null;
  /** Unix time in milliseconds, by the clock of the process that appended it. */
  timestampMs: number;
}

export interface SlotOptions {
  /**
   * Nothing is handled before this: an earlier slot of the partition may still be handling a
   * record.
   */
  after: Promise<void>;
  fromOffset: number;
  /** Number of waiting records from which on {@link Slot.isFull} is true. */
  recordsMax: number;
  handle: (record: IncomingRecord) => Promise<void>;
  /** Called when a full slot has room again. */
  onRoom: () => void;
  /** Called when `handle` threw; nothing more is handled. */
  onFailed: (error: unknown) => void;
}

/** What happened to the records that arrived. */
export type Accepted =
  | { kind: 'taken' }
  /** Records before them are missing: fetch from `nextOffset` again. */
  | { kind: 'gap' }
  /** The missing records are gone: the topic no longer has them. */
  | { kind: 'expired'; records: number };

/** After this many fetches with the same gap, the records count as lost. */
const looksMax = 3;

/** What the slot does now. A closed slot may still finish the record that it was handling. */
type State =
  { name: 'idle' } | { name: 'handling'; done: Promise<void> } | { name: 'closed'; done: Promise<void> };

export class Slot {
  readonly #options: SlotOptions;
  readonly #queue: IncomingRecord[] = [];
  #next: number;
  #handled: number;
  #looks = 0;
  #isFull = false;
  #state: State = { name: 'idle' };

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

  /** True from when too many records wait until half of them are handled. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * Takes records in the order of their offsets. Skips those that it has had: a reconnect brings
   * them again.
   */
  accept(records: readonly IncomingRecord[]): Accepted {
    const fresh = records.filter(({ offset }) => offset >= this.#next);
    const [first] = fresh;
    if (first === undefined || this.#state.name === 'closed') return { kind: 'taken' };
    const missing = first.offset - this.#next;
    // A fetch that was under way when the offset was set brings records from elsewhere: that is not
    // a loss.
    if (missing > 0 && ++this.#looks < looksMax) return { kind: 'gap' };
    this.#looks = 0;
    this.#next = (fresh.at(-1)?.offset ?? first.offset) + 1;
    this.#queue.push(...fresh);
    this.#isFull ||= this.#queue.length >= this.#options.recordsMax;
    if (this.#state.name === 'idle') this.#state = { name: 'handling', done: this.#run() };
    return missing > 0 ? { kind: 'expired', records: missing } : { kind: 'taken' };
  }

  /** Drops the waiting records. Resolves when the record that is being handled is done. */
  async close(): Promise<void> {
    this.#queue.length = 0;
    const done = this.#state.name === 'idle' ? Promise.resolve() : this.#state.done;
    this.#state = { name: 'closed', done };
    await done;
  }

  async #run(): Promise<void> {
    const { after, handle, onRoom, onFailed, recordsMax } = this.#options;
    await after;
    for (let record = this.#queue.shift(); record !== undefined; record = this.#queue.shift()) {
      try {
        await handle(record);
      } catch (error) {
        if (this.#rest()) onFailed(error);
        return;
      }
      this.#handled = record.offset + 1;
      if (this.#isFull && this.#queue.length <= recordsMax / 2) {
        this.#isFull = false;
        if (this.#isOpen()) onRoom();
      }
    }
    this.#rest();
  }

  /** Ends the handling. @returns false if the slot is closed */
  #rest(): boolean {
    if (!this.#isOpen()) return false;
    this.#state = { name: 'idle' };
    return true;
  }

  #isOpen(): boolean {
    return this.#state.name !== 'closed';
  }
}
