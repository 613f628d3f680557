/**
 * Sequence numbers that are never used twice, even after kill -9: a `seq` that is used again with
 * other values would be a `seq_conflict`. Numbers are reserved in blocks. The end of a block is on
 * disk before its first number is used, and after a kill -9 the device continues behind the block.
 * Gaps are allowed, repetitions are not.
 */

/** Number of sequence numbers in a block. */
export const seqBlock = 1000;
/** The next block is reserved when fewer numbers are left, so that no device waits for the disk. */
export const seqLowWater = 200;

/** The sequence numbers of one device. */
export class Sequence {
  #next: number;
  #durableEnd: number;

  /** @param start the first number that may be used; no number is reserved yet */
  constructor(start: number) {
    this.#next = start;
    this.#durableEnd = start;
  }

  /** Returns the next number; undefined until a further block is on disk. */
  take(): number | undefined {
    return this.#next < this.#durableEnd ? this.#next++ : undefined;
  }

  /** Whether the next block must be reserved. */
  get low(): boolean {
    return this.#durableEnd - this.#next < seqLowWater;
  }

  /** The end of the next block. Write it to disk, then call {@link reserved}. */
  get endWithNextBlock(): number {
    return this.#next + seqBlock;
  }

  /** Call it when `end` is on disk. */
  reserved(end: number): void {
    this.#durableEnd = Math.max(this.#durableEnd, end);
  }

  /** The next number. A graceful shutdown stores it, so that no gap is left. */
  get next(): number {
    return this.#next;
  }
}
