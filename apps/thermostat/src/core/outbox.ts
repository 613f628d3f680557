/** The readings that a device keeps until they are acknowledged: those in flight, then those not yet sent, oldest first. */
import type { Reading } from '@thermomesh/contracts';

export class Outbox {
  readonly #max: number;
  #inFlight: Reading[] = [];
  #unsent: Reading[] = [];
  /** Readings given up because the device had no room for more. */
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

  /** Keeps a reading; the oldest unsent one makes room. What is in flight is never given up: it may be stored already. */
  add(reading: Reading): void {
    this.#unsent.push(reading);
    if (this.size <= this.#max) return;
    this.#unsent.shift();
    this.dropped++;
  }

  /** The next reading to publish, now in flight; undefined if there is none or the window is full. */
  take(window: number): Reading | undefined {
    if (this.#inFlight.length >= window) return undefined;
    const reading = this.#unsent.shift();
    if (reading !== undefined) this.#inFlight.push(reading);
    return reading;
  }

  /** The broker has taken over `seq`; false if it was not in flight. */
  acked(seq: number): boolean {
    const at = this.#inFlight.findIndex((reading) => reading.seq === seq);
    if (at < 0) return false;
    this.#inFlight.splice(at, 1);
    return true;
  }

  /** The connection is gone: what was in flight is sent again, before everything else and in its order. */
  lost(): void {
    this.#unsent = [...this.#inFlight, ...this.#unsent];
    this.#inFlight = [];
  }

  /** Everything that is not acknowledged, oldest first. */
  all(): Reading[] {
    return [...this.#inFlight, ...this.#unsent];
  }
}
