/** Decides on charges and refunds, and makes each decision durable before it is answered. */
import { createHash, randomUUID } from 'node:crypto';
import { HttpError } from '@thermomesh/runtime';
import type { LedgerFile } from './adapters/ledger-file.ts';
import { Book, type Entry } from './core/book.ts';

/** What a caller wants done under a key. */
export type Order =
  | { kind: 'charge'; amountMinor: number; currency: string; paymentToken: string }
  | { kind: 'refund'; amountMinor: number; currency: string; charge: string };

export interface Processor {
  readonly book: Book;
  /**
   * Carries out the order once per key; the same key again gives the same entry.
   * @param idempotency false ignores the key: each call is a new charge
   * @throws HttpError 422 for the same key with other parameters
   */
  execute(
    key: string,
    order: Order,
    options: { decline: boolean; idempotency: boolean },
  ): Promise<{ entry: Entry; replayed: boolean }>;
}

export function createProcessor(ledger: LedgerFile<Entry>, now: () => number): Processor {
  const book = new Book();
  for (const entry of ledger.entries) book.add(entry);
  /** Decisions that are not durable yet, by key: a duplicate waits for the same fdatasync. */
  const pending = new Map<string, Promise<void>>();
  return {
    book,
    async execute(givenKey, order, { decline, idempotency }) {
      const key = idempotency ? givenKey : `${givenKey}/${randomUUID()}`;
      const fingerprint = createHash('sha256').update(JSON.stringify(order)).digest('hex');
      const known = book.byKey(key);
      if (known !== undefined) {
        if (known.fingerprint !== fingerprint)
          throw new HttpError(422, 'charges.other_parameters', 'this key was used with other parameters');
        await pending.get(key);
        return { entry: known, replayed: true };
      }
      // From here to the entry in the book nothing is awaited: two calls with one key cannot both get here.
      const entry = decide(book, key, order, fingerprint, decline, now());
      book.add(entry);
      const durable = ledger.append(entry);
      pending.set(key, durable);
      try {
        await durable;
      } finally {
        pending.delete(key);
      }
      return { entry, replayed: false };
    },
  };
}

function decide(
  book: Book,
  key: string,
  order: Order,
  fingerprint: string,
  decline: boolean,
  atMs: number,
): Entry {
  const { amountMinor, currency } = order;
  const common = { key, amountMinor, currency, fingerprint, atMs };
  if (order.kind === 'charge') {
    return {
      ...common,
      kind: 'charge',
      id: `ch_${randomUUID()}`,
      status: decline ? 'declined' : 'charged',
      reason: decline ? 'insufficient_funds' : null,
    };
  }
  const reason = decline ? 'refund_refused' : book.refundFault(order.charge, amountMinor, currency);
  return {
    ...common,
    kind: 'refund',
    id: `re_${randomUUID()}`,
    charge: order.charge,
    status: reason === null ? 'refunded' : 'declined',
    reason,
  };
}
