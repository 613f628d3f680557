/**
 * The store and the processor in memory: a store with the fence, a processor with idempotency keys.
 * Billing's PostgreSQL store is compared with this one.
 */
import type { Outcome, PaymentRecord } from '../types.ts';

/** The durable record of one payment. Each method is one transaction. */
export class Store {
  record: PaymentRecord | undefined;
  /** Whether the present holder's lease is over. */
  leaseOver = false;
  /** One entry per posting in the ledger: more than one means a doubled payment. */
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

/** Charges once per key, however often it is asked. `will` decides the outcome the first time. */
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
