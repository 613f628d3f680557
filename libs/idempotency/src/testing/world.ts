/**
 * What surrounds a worker, in memory: a store with the fence, a processor with idempotency keys. The reference that billing's
 * PostgreSQL store is compared with.
 */
import type { Outcome, PaymentRecord } from '../types.ts';

/** The one durable record of a payment; each method is one transaction. */
export class Store {
  record: PaymentRecord | undefined;
  /** The lease of the present holder is over. */
  leaseOver = false;
  /** One entry per posting in the books: more than one is a doubled payment. */
  readonly postings: Outcome[] = [];

  claim(fingerprint: string): boolean {
    if (this.record !== undefined) return false;
    this.record = { phase: 'claimed', attempt: 1, fingerprint, outcome: null };
    this.leaseOver = false;
    return true;
  }

  takeOver(from: number): number | undefined {
    const { record } = this;
    if (record === undefined || record.phase === 'answered' || record.attempt !== from || !this.leaseOver)
      return undefined;
    this.record = { ...record, attempt: from + 1 };
    this.leaseOver = false;
    return from + 1;
  }

  charging(attempt: number): boolean {
    const { record } = this;
    if (record === undefined || record.phase === 'answered' || record.attempt !== attempt) return false;
    this.record = { ...record, phase: 'charging' };
    this.leaseOver = false;
    return true;
  }

  finish(attempt: number, outcome: Outcome): boolean {
    const { record } = this;
    if (record === undefined || record.phase !== 'charging' || record.attempt !== attempt) return false;
    this.record = { ...record, phase: 'answered', outcome };
    this.postings.push(outcome);
    return true;
  }

  release(attempt: number): boolean {
    const { record } = this;
    if (record === undefined || record.phase === 'answered' || record.attempt !== attempt) return false;
    this.leaseOver = true;
    return true;
  }
}

/** Charges once per key, however often it is asked; `will` decides the first time. */
export class Processor {
  charges = 0;
  asked = 0;
  #outcome: Outcome | undefined;

  charge(will: Outcome): Outcome {
    this.asked += 1;
    if (this.#outcome === undefined) {
      this.#outcome = will;
      if (will === 'charged') this.charges += 1;
    }
    return this.#outcome;
  }
}
