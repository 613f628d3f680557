/**
 * The groups that the drain session has acknowledged and that the gateway keeps for a while: a
 * database that was restored gets them again (ADR 0016).
 */
import { groupKey, type GroupKey } from './group.ts';

/** How much is kept, and for how long. */
export interface KeptLimits {
  /** Maximum size of the kept groups in bytes; 0 keeps none. */
  bytesMax: number;
  keptMs: number;
}

/** What a group costs in memory and in the pages of the store besides its value, in bytes. */
export const groupOverheadBytes = 128;

/** A group without its key, whose buffer would hold much more memory than its bytes. */
interface Kept extends Omit<GroupKey, 'key'> {
  drainedAtMs: number;
}

function keyOf({ firstLogId, count, bytes }: Kept): GroupKey {
  return { key: groupKey(firstLogId, count, bytes), firstLogId, count, bytes };
}

/** Kept groups in the order of their log ids, without a hole between them. */
export class KeptGroups {
  readonly #limits: KeptLimits;
  #groups: Kept[] = [];
  /** Index of the oldest group; the places before it are freed in bulk. */
  #first = 0;
  #bytes = 0;

  constructor(limits: KeptLimits) {
    this.#limits = limits;
  }

  /** Size of the groups in bytes, with {@link groupOverheadBytes} for each. */
  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): GroupKey | undefined {
    const oldest = this.#groups[this.#first];
    return oldest && keyOf(oldest);
  }

  /** Whether a group that the drain session has acknowledged is kept. */
  has(firstLogId: number): boolean {
    const oldest = this.#groups[this.#first];
    return oldest !== undefined && firstLogId >= oldest.firstLogId;
  }

  /** Adds the group behind all others. */
  add({ firstLogId, count, bytes }: GroupKey, nowMs: number): void {
    this.#groups.push({ firstLogId, count, bytes, drainedAtMs: nowMs });
    this.#bytes += bytes + groupOverheadBytes;
  }

  /** Takes out the oldest groups until the rest is within the limits. */
  expire(nowMs: number): GroupKey[] {
    const { bytesMax, keptMs } = this.#limits;
    return this.#takeOldest(({ drainedAtMs }) => this.#bytes > bytesMax || nowMs - drainedAtMs >= keptMs);
  }

  /** Takes out all groups. */
  clear(): GroupKey[] {
    return this.#takeOldest(() => true);
  }

  /**
   * Takes out the groups that may hold a message after `logId`: those that begin after it, and the
   * one before them.
   */
  takeAfter(logId: number): GroupKey[] {
    let from = this.#groups.length;
    while (from > this.#first && this.#groups[from - 1]!.firstLogId > logId) from--;
    const taken = this.#groups.splice(Math.max(this.#first, from - 1));
    for (const { bytes } of taken) this.#bytes -= bytes + groupOverheadBytes;
    return taken.map(keyOf);
  }

  #takeOldest(isOver: (group: Kept) => boolean): GroupKey[] {
    const from = this.#first;
    for (let oldest = this.#groups[from]; oldest !== undefined; oldest = this.#groups[this.#first]) {
      if (!isOver(oldest)) break;
      this.#bytes -= oldest.bytes + groupOverheadBytes;
      this.#first++;
    }
    const taken = this.#groups.slice(from, this.#first);
    if (this.#first > 1024 || this.#first === this.#groups.length) {
      this.#groups.splice(0, this.#first);
      this.#first = 0;
    }
    return taken.map(keyOf);
  }
}
