/** Decides about charges and refunds. Each decision is durable before the caller gets it. */
import { createHash, randomUUID } from 'node:crypto';
import { HttpError } from '@thermomesh/runtime';
import type { LedgerFile } from './adapters/ledger-file.ts';
import { Book, type Entry } from './core/book.ts';
import type { ProcessorErrorCode } from './core/errors.ts';

/** What a caller orders under a key. Amounts are in minor units. */
export type Order =
  | { kind: 'charge'; amountMinor: number; currency: string; paymentToken: string }
  | { kind: 'refund'; amountMinor: number; currency: string; charge: string };

/** The processor behind the HTTP routes. */
export interface Processor {
  readonly book: Book;
  /**
   * Carries out the order once per key; repeated calls with the key get the same entry.
   * @param options `decline` declines the order; without `idempotency` the key is ignored and each
   *   call is a new charge
   * @throws HttpError 422 if the key was used with other parameters
   */
  execute(
    key: string,
    order: Order,
    options: { decline: boolean; idempotency: boolean },
  ): Promise<{ entry: Entry; replayed: boolean }>;
}

/** Creates a processor whose book holds the entries of the ledger. @param now returns Unix ms */
export function createProcessor(ledger: LedgerFile<Entry>, now: () => number): Processor {
  const book = new Book();
  for (const entry of ledger.entries) book.add(entry);
  /** Decisions that are not durable yet, by key. A duplicate waits for the same fdatasync. */
  const pending = new Map<string, Promise<void>>();
  return {
    book,
    async execute(givenKey, order, { decline, idempotency }) {
      const key = idempotency ? givenKey : `${givenKey}/${randomUUID()}`;
      const fingerprint = createHash('sha256').update(JSON.stringify(order)).digest('hex');
      const known = book.byKey(key);
      if (known !== undefined) {
        if (known.fingerprint !== fingerprint)
          throw new HttpError(
            422,
            'charges.other_parameters' satisfies ProcessorErrorCode,
            'this key was used with other parameters',
          );
        await pending.get(key);
        return { entry: known, replayed: true };
      }
      // There is no await from here until the book has the entry, so two calls with one key cannot
      // both get here.
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
  const reason = decline ? 'refund_refused' : book.refundIssue(order.charge, amountMinor, currency);
  return {
    ...common,
    kind: 'refund',
    id: `re_${randomUUID()}`,
    charge: order.charge,
    status: reason === null ? 'refunded' : 'declined',
    reason,
  };
}
