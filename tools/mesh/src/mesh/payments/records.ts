/** Reads the orders of one run from PostgreSQL: the table of checkouts, and billing's books. */
import type { SqlPool } from '@thermomesh/sql';
import type { BookRow, CheckoutRow } from './judge.ts';

const checkoutsSql = `
  SELECT checkout_id AS "checkoutId", customer_key AS key, status, transaction_id AS "transactionId", payer,
    amount_minor AS "amountMinor", currency
  FROM checkouts WHERE starts_with(payer, $1)`;
const booksSql = `
  SELECT o.transaction_id AS "transactionId", o.payer, o.amount_minor AS "amountMinor", o.currency,
    o.phase = 'answered' AS answered, o.outcome, e.amount_minor AS "postedMinor"
  FROM operations o
  LEFT JOIN postings p ON p.caller = o.caller AND p.transaction_id = o.transaction_id
  LEFT JOIN entries e ON e.posting_id = p.id AND e.account = 'processor:clearing'
  WHERE o.kind = 'charge' AND starts_with(o.payer, $1)`;

/** Reads all rows whose payer begins with `payerPrefix`. */
export async function readRecords(
  pool: SqlPool,
  payerPrefix: string,
): Promise<{ checkouts: CheckoutRow[]; books: BookRow[] }> {
  const collect = async <T extends object>(sql: string): Promise<T[]> => {
    const rows: T[] = [];
    for await (const row of pool.stream<T & Record<string, unknown>>(sql, [payerPrefix])) rows.push(row);
    return rows;
  };
  return { checkouts: await collect<CheckoutRow>(checkoutsSql), books: await collect<BookRow>(booksSql) };
}
