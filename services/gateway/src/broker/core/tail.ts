/** The newest groups of the drain session in memory, so that live traffic reads no disk. */
import type { Group } from './group.ts';

/** Maximum size of the groups in memory. */
const tailBytesMax = 16 * 1024 * 1024;

/** The groups that may be delivered, without the oldest ones. */
export class Tail {
  #groups: Group[] = [];
  #bytes = 0;
  #before: number;

  /** @param before first log id of the last group that exists already */
  constructor(before: number) {
    this.#before = before;
  }

  /**
   * Adds a group behind all others, and leaves the oldest to the store if they become too large.
   */
  add(group: Group): void {
    this.#groups.push(group);
    this.#bytes += group.bytes;
    this.#drop(() => this.#bytes > tailBytesMax);
  }

  /** Leaves the groups up to `logId` to the store. */
  dropUpTo(logId: number): void {
    this.#drop(({ lastLogId }) => lastLogId <= logId);
  }

  /** Whether every group that begins after `logId` is in memory. */
  hasAllAfter(logId: number): boolean {
    return logId >= this.#before;
  }

  /** The first group that begins after `logId`. */
  after(logId: number): Group | undefined {
    let low = 0;
    let high = this.#groups.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#groups[middle]!.firstLogId > logId) high = middle;
      else low = middle + 1;
    }
    return this.#groups[low];
  }

  #drop(isOver: (oldest: Group) => boolean): void {
    let dropped = 0;
    for (
      let oldest = this.#groups[0];
      oldest !== undefined && isOver(oldest);
      oldest = this.#groups[dropped]
    ) {
      this.#bytes -= oldest.bytes;
      this.#before = oldest.firstLogId;
      dropped++;
    }
    if (dropped > 0) this.#groups.splice(0, dropped);
  }
}
