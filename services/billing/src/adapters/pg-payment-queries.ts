/** The reads of the HTTP routes. */
import type { PaymentView } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import type { PaymentQueries } from '../core/ports.ts';

const columns = `o.id, o.transaction_id AS "transactionId", coalesce(o.outcome, 'pending') AS status, o.payer,
  o.amount_minor AS "amountMinor", o.currency, o.processor_reference AS "processorReference", o.reason,
  (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM operations r
    WHERE r.caller = o.caller AND r.payment_id = o.transaction_id AND r.kind = 'refund' AND r.outcome = 'charged') AS "refundedMinor",
  o.attempt, (extract(epoch FROM o.created_at) * 1000)::bigint AS "createdAtMs",
  (extract(epoch FROM o.answered_at) * 1000)::bigint AS "answeredAtMs"`;
type Row = PaymentView & { id: number } & Record<string, unknown>;

/** Creates the reads on `pool`. */
export function createPaymentQueries(pool: SqlPool): PaymentQueries {
  return {
    async payment({ caller, transactionId }) {
      const [row] = await pool.query<Row>(
        `SELECT ${columns} FROM operations o WHERE o.caller = $1 AND o.transaction_id = $2 AND o.kind = 'charge'`,
        [caller, transactionId],
      );
      return row;
    },
    payments: ({ caller, limit, beforeId, status, payer, fromMs, toMs }) =>
      pool.query<Row>(
        `SELECT ${columns} FROM operations o
          WHERE o.caller = $1 AND o.kind = 'charge'
            AND ($2::bigint IS NULL OR o.id < $2)
            AND ($3::text IS NULL OR coalesce(o.outcome, 'pending') = $3)
            AND ($4::text IS NULL OR o.payer = $4)
            AND ($5::bigint IS NULL OR o.created_at >= to_timestamp($5 / 1000.0))
            AND ($6::bigint IS NULL OR o.created_at < to_timestamp($6 / 1000.0))
          ORDER BY o.id DESC LIMIT $7`,
        [caller, beforeId ?? null, status ?? null, payer ?? null, fromMs ?? null, toMs ?? null, limit],
      ),
  };
}
