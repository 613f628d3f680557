/**
 * The processor's book: its decisions by key. It is pure; the caller makes each entry durable
 * before it answers.
 */

interface EntryBase {
  /** The caller's idempotency key; in the mode without keys, a key that the processor creates. */
  key: string;
  /** The processor's own reference. */
  id: string;
  amountMinor: number;
  currency: string;
  /** Hash of the parameters, by which another charge under the same key is refused. */
  fingerprint: string;
  atMs: number;
}

/** One line of the ledger. */
export type Entry =
  | (EntryBase & { kind: 'charge'; status: 'charged' | 'declined'; reason: string | null })
  | (EntryBase & { kind: 'refund'; charge: string; status: 'refunded' | 'declined'; reason: string | null });

/** All entries in memory; filled from the ledger's lines at the start. */
export class Book {
  readonly entries: Entry[] = [];
  readonly #byKey = new Map<string, Entry>();
  readonly #charges = new Map<string, Entry & { kind: 'charge' }>();
  /** Sum of refunds by charge, in minor units. */
  readonly #refunded = new Map<string, number>();

  /** Adds an entry. */
  add(entry: Entry): void {
    this.entries.push(entry);
    this.#byKey.set(entry.key, entry);
    if (entry.kind === 'charge') this.#charges.set(entry.id, entry);
    else if (entry.status === 'refunded')
      this.#refunded.set(entry.charge, (this.#refunded.get(entry.charge) ?? 0) + entry.amountMinor);
  }

  /** Returns the entry under a key. */
  byKey(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** Returns why a refund of `amountMinor` is declined; null if it is allowed. */
  refundIssue(charge: string, amountMinor: number, currency: string): string | null {
    const entry = this.#charges.get(charge);
    if (entry === undefined || entry.status !== 'charged') return 'unknown_charge';
    if (entry.currency !== currency) return 'other_currency';
    return (this.#refunded.get(charge) ?? 0) + amountMinor > entry.amountMinor ? 'exceeds_charge' : null;
  }
}
