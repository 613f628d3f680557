/** A clock that jumps from one event to the next, and a random source that a seed repeats. */
import type { Scheduler } from '../transport.ts';

/**
 * Returns a source of numbers from 0 to 1; the same seed gives the same numbers (mulberry32, T.
 * Ettinger, public domain).
 */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The random decisions of one run. */
export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** A whole number; both bounds are possible. */
  between(min: number, max: number): number {
    return min + Math.floor(this.#random() * (max - min + 1));
  }

  /** True in the given share of the calls, from 0 to 1. */
  chance(ratio: number): boolean {
    return this.#random() < ratio;
  }
}

/**
 * The planned events, in order of time; events of the same time keep the order in which they were
 * planned. It is also the {@link Scheduler} of the driver's tests.
 */
export class Timeline implements Scheduler {
  now = 0;
  readonly #planned: { at: number; happen: () => void }[] = [];

  after(delayMs: number, happen: () => void): () => void {
    const planned = { at: this.now + delayMs, happen };
    let index = this.#planned.length;
    while (index > 0 && (this.#planned[index - 1]?.at ?? 0) > planned.at) index -= 1;
    this.#planned.splice(index, 0, planned);
    return () => {
      const at = this.#planned.indexOf(planned);
      if (at >= 0) this.#planned.splice(at, 1);
    };
  }

  /** Lets `durationMs` pass, and runs every event that falls into it. */
  run(durationMs: number): void {
    const end = this.now + durationMs;
    while ((this.#planned[0]?.at ?? Infinity) <= end) {
      const next = this.#planned.shift();
      if (next === undefined) break;
      this.now = next.at;
      next.happen();
    }
    this.now = end;
  }
}
