/**
 * The readings that a device keeps until they are acknowledged: first those in flight, then those
 * that are not yet sent, oldest first.
 */
import type { Reading } from '@thermomesh/contracts';

/** Keeps at most `max` readings. */
export class Outbox {
  readonly #max: number;
  #inFlight: Reading[] = [];
  #unsent: Reading[] = [];
  /** Number of readings that were dropped because the outbox was full. */
  dropped = 0;

  constructor(max: number, kept: readonly Reading[] = []) {
    this.#max = max;
    for (const reading of kept) this.add(reading);
  }

  get size(): number {
    return this.#inFlight.length + this.#unsent.length;
  }

  get inFlight(): number {
    return this.#inFlight.length;
  }

  /**
   * Adds a reading. If the outbox is full, the oldest unsent reading is dropped; a reading in
   * flight never is, because it may be stored already.
   * @returns the dropped reading, if there is one
   */
  add(reading: Reading): Reading | undefined {
    this.#unsent.push(reading);
    if (this.size <= this.#max) return undefined;
    this.dropped++;
    return this.#unsent.shift();
  }

  /**
   * Returns the next reading to publish, which is then in flight; undefined if there is none or the
   * window is full.
   */
  take(window: number): Reading | undefined {
    if (this.#inFlight.length >= window) return undefined;
    const reading = this.#unsent.shift();
    if (reading !== undefined) this.#inFlight.push(reading);
    return reading;
  }

  /** Removes an acknowledged reading; returns false if it was not in flight. */
  acked(seq: number): boolean {
    const at = this.#inFlight.findIndex((reading) => reading.seq === seq);
    if (at < 0) return false;
    this.#inFlight.splice(at, 1);
    return true;
  }

  /**
   * Call it when the connection is lost: readings in flight are sent again, in their order and
   * before all others.
   */
  lost(): void {
    this.#unsent = [...this.#inFlight, ...this.#unsent];
    this.#inFlight = [];
  }

  /** Returns all unacknowledged readings, oldest first. */
  all(): Reading[] {
    return [...this.#inFlight, ...this.#unsent];
  }
}
