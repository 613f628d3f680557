/** The processor's book: what it has decided, by key. Pure; the caller makes each entry durable before it is answered. */

interface Common {
  /** The caller's idempotency key; in the mode without keys, one that the processor makes. */
  key: string;
  /** The processor's own reference. */
  id: string;
  amountMinor: number;
  currency: string;
  /** Hash of the parameters: another charge under the same key is refused. */
  fingerprint: string;
  atMs: number;
}

/** One line of the ledger. */
export type Entry =
  | (Common & { kind: 'charge'; status: 'charged' | 'declined'; reason: string | null })
  | (Common & { kind: 'refund'; charge: string; status: 'refunded' | 'declined'; reason: string | null });

export type Found = 'none' | 'same' | 'other_parameters';

/** In memory, made from the ledger's lines at start. */
export class Book {
  readonly entries: Entry[] = [];
  readonly #byKey = new Map<string, Entry>();
  readonly #charges = new Map<string, Entry & { kind: 'charge' }>();
  /** Sum of refunds by charge, in minor units. */
  readonly #refunded = new Map<string, number>();

  add(entry: Entry): void {
    this.entries.push(entry);
    this.#byKey.set(entry.key, entry);
    if (entry.kind === 'charge') this.#charges.set(entry.id, entry);
    else if (entry.status === 'refunded')
      this.#refunded.set(entry.charge, (this.#refunded.get(entry.charge) ?? 0) + entry.amountMinor);
  }

  byKey(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** Why a refund of `amountMinor` is declined; null if it is not. */
  refundFault(charge: string, amountMinor: number, currency: string): string | null {
    const entry = this.#charges.get(charge);
    if (entry === undefined || entry.status !== 'charged') return 'unknown_charge';
    if (entry.currency !== currency) return 'other_currency';
    return (this.#refunded.get(charge) ?? 0) + amountMinor > entry.amountMinor ? 'exceeds_charge' : null;
  }
}
