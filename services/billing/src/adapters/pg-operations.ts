/**
 * Stores operations in PostgreSQL. Each method is one statement, so the server never waits for this
 * process inside a transaction.
 */
import type { SqlPool } from '@thermomesh/sql';
import type { Operation, OperationKey } from '../core/operation.ts';
import type { Claim, NewOperation, NotRefundable, OperationStore } from '../core/ports.ts';
import {
  gatherClaims,
  gatherWrites,
  operationColumns,
  type NewCharge,
  type OperationRow as Row,
  type OperationStoreOptions,
} from './pg-gathered.ts';

/** Creates the store on `pool`. */
export function createOperationStore(pool: SqlPool, options: OperationStoreOptions): OperationStore {
  const { holder, leaseMs } = options;
  const claimCharge = gatherClaims(pool, options);
  const load = async (key: OperationKey) => loadOperation(pool, key);
  return {
    claim: async (operation) =>
      operation.details.kind === 'charge'
        ? claimCharge(operation as NewCharge)
        : claimRefund(pool, options, operation, operation.details.paymentId),
    load,
    ...gatherWrites(pool, options),
    answered: (keys) =>
      pool.query<Row>(
        `SELECT ${operationColumns} FROM operations
          WHERE (caller, transaction_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[])) AND phase = 'answered'`,
        [keys.map(({ caller }) => caller), keys.map(({ transactionId }) => transactionId)],
      ),
    inDoubt: (rowsMax) =>
      pool.query<Row>(
        `SELECT ${operationColumns} FROM operations
          WHERE answered_at IS NULL AND lease_until < clock_timestamp() ORDER BY lease_until LIMIT $1`,
        [rowsMax],
      ),
    async takeOver({ caller, transactionId }, from) {
      const [row] = await pool.query<{ attempt: number }>(
        `UPDATE operations SET attempt = attempt + 1, holder = $4, lease_until = clock_timestamp() + $5 * interval '1 ms'
          WHERE caller = $1 AND transaction_id = $2 AND attempt = $3 AND phase <> 'answered' AND lease_until < clock_timestamp()
         RETURNING attempt`,
        [caller, transactionId, from, holder, leaseMs],
      );
      return row?.attempt;
    },
    async release({ caller, transactionId }, attempt, pauseMs) {
      const rows = await pool.query(
        `UPDATE operations SET lease_until = clock_timestamp() + $4 * interval '1 ms'
          WHERE caller = $1 AND transaction_id = $2 AND attempt = $3 AND phase <> 'answered' RETURNING attempt`,
        [caller, transactionId, attempt, pauseMs],
      );
      return rows.length === 1;
    },
    async retire(olderThanDays, rowsMax) {
      const rows = await pool.query(
        `UPDATE operations SET answer_body = NULL, fingerprint = NULL, retired_at = clock_timestamp()
          WHERE id IN (SELECT id FROM operations WHERE phase = 'answered' AND retired_at IS NULL
                          AND answered_at < clock_timestamp() - $1 * interval '1 day' LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id`,
        [olderThanDays, rowsMax],
      );
      return rows.length;
    },
  };
}

async function loadOperation(
  pool: SqlPool,
  { caller, transactionId }: OperationKey,
): Promise<Operation | undefined> {
  const [row] = await pool.query<Row>(
    `SELECT ${operationColumns} FROM operations WHERE caller = $1 AND transaction_id = $2`,
    [caller, transactionId],
  );
  return row;
}

async function claimRefund(
  pool: SqlPool,
  { holder, leaseMs }: OperationStoreOptions,
  operation: NewOperation,
  paymentId: string,
): Promise<Claim> {
  const { caller, transactionId, amountMinor, processorKey } = operation;
  const fingerprint = Buffer.from(operation.fingerprint, 'hex');
  const [row] = await pool.query<{ result: 'claimed' | 'exists' | NotRefundable }>(
    'SELECT claim_refund($1, $2, $3, $4, $5, $6, $7, $8) AS result',
    [caller, transactionId, paymentId, amountMinor, fingerprint, processorKey, holder, leaseMs],
  );
  const result = row?.result ?? 'exists';
  if (result !== 'claimed' && result !== 'exists') return { result };
  const stored = await loadOperation(pool, operation);
  if (stored === undefined) throw new TypeError('a claimed key has no row');
  return { result, operation: stored };
}
