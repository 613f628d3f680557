/**
 * Stores checkouts in PostgreSQL. Each method is one statement, so the server never waits for this
 * process inside a transaction.
 */
import type { SqlPool } from '@thermomesh/sql';
import type { Checkout } from '../core/checkout.ts';
import type { Accepted, CheckoutStore, OpenCheckout } from '../core/ports.ts';

const columns = `id, checkout_id AS "checkoutId", status, transaction_id AS "transactionId", payer,
  amount_minor AS "amountMinor", currency, reference, reason,
  (extract(epoch FROM created_at) * 1000)::bigint AS "createdAtMs",
  (extract(epoch FROM final_at) * 1000)::bigint AS "finalAtMs"`;

type Row<T> = T & Record<string, unknown>;

/** The store on a pool that the caller closes. */
export function createCheckoutStore(pool: SqlPool): CheckoutStore {
  return { ...writes(pool), ...reads(pool) };
}

function writes(pool: SqlPool): Pick<CheckoutStore, 'accept' | 'claimDue' | 'release' | 'finish'> {
  return {
    async accept(order) {
      const [row] = await pool.query<Row<Accepted>>(
        `SELECT found_id AS "checkoutId", encode(found_fingerprint, 'hex') AS fingerprint, created
           FROM accept_checkout($1, $2, $3, decode($4, 'hex'), $5, $6, $7, $8, $9, $10)`,
        [
          order.checkoutId,
          order.caller,
          order.customerKey,
          order.fingerprint,
          order.transactionId,
          order.payer,
          order.amountMinor,
          order.currency,
          order.reference ?? null,
          order.tokenBox,
        ],
      );
      if (row === undefined) throw new TypeError('accept_checkout returned no row');
      return row;
    },
    claimDue: (rowsMax, requeueMs) =>
      // SKIP LOCKED: relays of several gateways take different rows.
      pool.query<Row<{ checkoutId: string; handOvers: number }>>(
        `UPDATE checkout_outbox SET due_at = clock_timestamp() + $2 * interval '1 ms', hand_overs = hand_overs + 1
          WHERE checkout_id IN (SELECT checkout_id FROM checkout_outbox WHERE due_at <= clock_timestamp()
                                 ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING checkout_id AS "checkoutId", hand_overs AS "handOvers"`,
        [rowsMax, requeueMs],
      ),
    async release(checkoutIds) {
      await pool.query(
        'UPDATE checkout_outbox SET due_at = clock_timestamp() WHERE checkout_id = ANY($1::uuid[])',
        [checkoutIds],
      );
    },
    async finish(checkoutId, { status, reason }) {
      const [row] = await pool.query<{ done: boolean }>('SELECT finish_checkout($1, $2, $3) AS done', [
        checkoutId,
        status,
        reason,
      ]);
      return row?.done === true;
    },
  };
}

function reads(pool: SqlPool): Pick<CheckoutStore, 'open' | 'find' | 'list' | 'finals' | 'outbox'> {
  return {
    async open(checkoutId) {
      const [row] = await pool.query<Row<OpenCheckout>>(
        `SELECT checkout_id AS "checkoutId", transaction_id AS "transactionId", payer, amount_minor AS "amountMinor", currency,
                token_box AS "tokenBox"
           FROM checkouts WHERE checkout_id = $1 AND status = 'accepted'`,
        [checkoutId],
      );
      return row;
    },
    async find(caller, checkoutId) {
      const [row] = await pool.query<Row<Checkout>>(
        `SELECT ${columns} FROM checkouts WHERE caller = $1 AND checkout_id = $2`,
        [caller, checkoutId],
      );
      return row;
    },
    list: ({ caller, limit, beforeId, status }) =>
      pool.query<Row<Checkout>>(
        `SELECT ${columns} FROM checkouts
          WHERE caller = $1 AND ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3)
          ORDER BY id DESC LIMIT $4`,
        [caller, beforeId ?? null, status ?? null, limit],
      ),
    finals: (checkoutIds) =>
      pool.query<Row<Checkout>>(
        `SELECT ${columns} FROM checkouts WHERE checkout_id = ANY($1::uuid[]) AND status <> 'accepted'`,
        [checkoutIds],
      ),
    async outbox() {
      const [row] = await pool.query<{ depth: number; oldestAgeMs: number }>(
        `SELECT count(*)::bigint AS depth,
                coalesce(extract(epoch FROM clock_timestamp() - min(created_at)) * 1000, 0)::bigint AS "oldestAgeMs"
           FROM checkout_outbox`,
      );
      return row ?? { depth: 0, oldestAgeMs: 0 };
    },
  };
}
