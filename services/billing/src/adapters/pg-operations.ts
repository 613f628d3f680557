/** Operations in PostgreSQL. Each method is one statement, so the server never waits for this process inside a transaction. */
import type { SqlPool } from '@thermomesh/sql';
import type { ProcessorAnswer } from '../core/answer.ts';
import type { Operation, OperationKey } from '../core/operation.ts';

/** What a claim needs besides the order itself. */
export interface NewOperation extends OperationKey {
  amountMinor: number;
  /** Hex. */
  fingerprint: string;
  processorKey: string;
  details:
    | { kind: 'charge'; payer: string; currency: string; tokenBox: Buffer }
    | { kind: 'refund'; paymentId: string };
}

/** `exists`: the key is taken. The others are refunds that their payment does not allow; nothing is stored of them. */
export type ClaimResult = 'claimed' | 'exists' | 'unknown_payment' | 'pending' | 'not_charged' | 'exceeds';

/** The store that the fence stands in. False means fenced: another attempt holds the operation, or it is answered. */
export interface OperationStore {
  claim(operation: NewOperation): Promise<ClaimResult>;
  load(key: OperationKey): Promise<Operation | undefined>;
  /** Those of `keys` that are answered. */
  answered(keys: readonly OperationKey[]): Promise<Operation[]>;
  /** Unanswered operations whose lease is over, oldest lease first. */
  inDoubt(rowsMax: number): Promise<Operation[]>;
  /** The new attempt; undefined if `from` no longer holds it or its lease was renewed. */
  takeOver(key: OperationKey, from: number): Promise<number | undefined>;
  recordCharging(key: OperationKey, attempt: number): Promise<boolean>;
  finish(key: OperationKey, attempt: number, answer: ProcessorAnswer, body: string): Promise<boolean>;
  /** Ends the lease `pauseMs` from now. */
  release(key: OperationKey, attempt: number, pauseMs: number): Promise<boolean>;
  /** Drops answers and fingerprints that are older; the key stays used. Returns how many. */
  retire(olderThanDays: number, rowsMax: number): Promise<number>;
}

const columns = `caller, transaction_id AS "transactionId", kind, payment_id AS "paymentId", processor_charge AS "processorCharge",
  payer, amount_minor AS "amountMinor", currency, encode(fingerprint, 'hex') AS fingerprint, processor_key AS "processorKey",
  token_box AS "tokenBox", phase, attempt, outcome, answer_body AS "answerBody",
  lease_until < clock_timestamp() AS "leaseOver", retired_at IS NOT NULL AS retired`;
type Row = Operation & Record<string, unknown>;

/** @param holder name of this replica, for people who look into the table */
export function createOperationStore(pool: SqlPool, holder: string, leaseMs: number): OperationStore {
  return {
    claim: (operation) => claim(pool, holder, leaseMs, operation),
    async load({ caller, transactionId }) {
      const [row] = await pool.query<Row>(
        `SELECT ${columns} FROM operations WHERE caller = $1 AND transaction_id = $2`,
        [caller, transactionId],
      );
      return row;
    },
    answered: (keys) =>
      pool.query<Row>(
        `SELECT ${columns} FROM operations
          WHERE (caller, transaction_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[])) AND phase = 'answered'`,
        [keys.map(({ caller }) => caller), keys.map(({ transactionId }) => transactionId)],
      ),
    inDoubt: (rowsMax) =>
      pool.query<Row>(
        `SELECT ${columns} FROM operations
          WHERE phase <> 'answered' AND lease_until < clock_timestamp() ORDER BY lease_until LIMIT $1`,
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
    async recordCharging({ caller, transactionId }, attempt) {
      const rows = await pool.query(
        `UPDATE operations SET phase = 'charging', lease_until = clock_timestamp() + $4 * interval '1 ms'
          WHERE caller = $1 AND transaction_id = $2 AND attempt = $3 AND phase <> 'answered' RETURNING attempt`,
        [caller, transactionId, attempt, leaseMs],
      );
      return rows.length === 1;
    },
    async finish({ caller, transactionId }, attempt, { outcome, reference, reason }, body) {
      const [row] = await pool.query<{ done: boolean }>(
        'SELECT finish_operation($1, $2, $3, $4, $5, $6, $7) AS done',
        [caller, transactionId, attempt, outcome, reference, reason, body],
      );
      return row?.done === true;
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

/**
 * The claim of a payment is one INSERT … ON CONFLICT: of any number of callers at once, one gets the row. No conflict target: the
 * processor's key is unique as well, and of two equal rows the loser may meet either index first.
 */
async function claim(
  pool: SqlPool,
  holder: string,
  leaseMs: number,
  operation: NewOperation,
): Promise<ClaimResult> {
  const { caller, transactionId, amountMinor, processorKey, details } = operation;
  const fingerprint = Buffer.from(operation.fingerprint, 'hex');
  if (details.kind === 'refund') {
    const [row] = await pool.query<{ result: ClaimResult }>(
      'SELECT claim_refund($1, $2, $3, $4, $5, $6, $7, $8) AS result',
      [caller, transactionId, details.paymentId, amountMinor, fingerprint, processorKey, holder, leaseMs],
    );
    return row?.result ?? 'exists';
  }
  const rows = await pool.query(
    `INSERT INTO operations (caller, transaction_id, kind, payer, amount_minor, currency, fingerprint, processor_key, token_box, holder, lease_until)
     VALUES ($1, $2, 'charge', $3, $4, $5, $6, $7, $8, $9, clock_timestamp() + $10 * interval '1 ms')
     ON CONFLICT DO NOTHING RETURNING id`,
    [
      caller,
      transactionId,
      details.payer,
      amountMinor,
      details.currency,
      fingerprint,
      processorKey,
      details.tokenBox,
      holder,
      leaseMs,
    ],
  );
  return rows.length === 1 ? 'claimed' : 'exists';
}
