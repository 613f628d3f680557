/**
 * Sequence numbers that are never used twice, whatever dies (a `seq` used again with other values would be a `seq_conflict`).
 * Numbers are reserved in blocks: the end of the block is on disk before its first number is used, and a start after a kill -9
 * goes on behind the block. Gaps are allowed, repetitions are not.
 */

export const seqBlock = 1000;
/** With fewer left than this the next block is reserved, so that no device waits for the disk. */
export const seqLowWater = 200;

export class Sequence {
  #next: number;
  #durableEnd: number;

  /** @param start first number that may be used; nothing is reserved yet */
  constructor(start: number) {
    this.#next = start;
    this.#durableEnd = start;
  }

  /** The next number; undefined while the reservation of more is not on disk. */
  take(): number | undefined {
    return this.#next < this.#durableEnd ? this.#next++ : undefined;
  }

  get low(): boolean {
    return this.#durableEnd - this.#next < seqLowWater;
  }

  /** Where the next block would end: to be written to disk, then told by {@link reserved}. */
  get endWithNextBlock(): number {
    return this.#next + seqBlock;
  }

  /** `end` is on disk. */
  reserved(end: number): void {
    this.#durableEnd = Math.max(this.#durableEnd, end);
  }

  /** The number that comes next: what an orderly stop keeps, so that no gap is left. */
  get next(): number {
    return this.#next;
  }
}
