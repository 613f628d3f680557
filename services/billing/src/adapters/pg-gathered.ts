/**
 * The writes that every payment makes in PostgreSQL: claims, phase changes, settlements. Many
 * payments share one statement and one commit.
 */
import { isRetriable } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import type { ProcessorAnswer } from '../core/answer.ts';
import { keyText, type Operation, type OperationKey } from '../core/operation.ts';
import type { Claimed, NewOperation } from '../core/ports.ts';
import { createGather } from '../gather.ts';

export interface OperationStoreOptions {
  /** Name of this replica; the table shows it to people. */
  holder: string;
  leaseMs: number;
  /** Maximum number of operations that share one statement. */
  gatherMax: number;
  /** Maximum number of calls that wait for a statement of one kind. */
  waitingMax: number;
  /** Called after each shared statement with the number of its operations. */
  onStatement?: (statement: GatheredStatement, operations: number) => void;
}
/** The kinds of shared statements. */
export type GatheredStatement = 'claim' | 'charging' | 'finish';

/** The columns that make an {@link Operation}. */
export const operationColumns = `caller, transaction_id AS "transactionId", kind, payment_id AS "paymentId", processor_charge AS "processorCharge",
  payer, amount_minor AS "amountMinor", currency, encode(fingerprint, 'hex') AS fingerprint, processor_key AS "processorKey",
  token_box AS "tokenBox", phase, attempt, outcome, answer_body AS "answerBody",
  lease_until < clock_timestamp() AS "leaseOver", retired_at IS NOT NULL AS retired`;
/** An operation as a query returns it. */
export type OperationRow = Operation & Record<string, unknown>;

/** A new operation that is a charge. */
export type NewCharge = NewOperation & { details: { kind: 'charge' } };

/**
 * Creates the claim of charges. Calls for a key whose claim is already under way in this replica
 * get the row of that claim, so of a thousand duplicates one asks PostgreSQL.
 */
export function gatherClaims(
  pool: SqlPool,
  { holder, leaseMs, gatherMax, waitingMax, onStatement }: OperationStoreOptions,
): (operation: NewCharge) => Promise<Claimed> {
  const gathered = createGather<NewCharge, Claimed>({
    itemsMax: gatherMax,
    waitingMax,
    keyOf: keyText,
    run: async (operations) => claimCharges(pool, holder, leaseMs, operations),
    onStatement: (count) => onStatement?.('claim', count),
  });
  const underWay = new Map<string, Promise<Claimed>>();
  return async function claim(operation): Promise<Claimed> {
    const text = keyText(operation);
    const first = underWay.get(text);
    if (first !== undefined) {
      const found = await first.catch((error: unknown) => {
        if (isRetriable(error)) throw error;
        return undefined;
      });
      // The first call was refused for its own parameters; this call may have others.
      return found === undefined ? claim(operation) : { result: 'exists', operation: found.operation };
    }
    const claiming = gathered(operation).finally(() => underWay.delete(text));
    underWay.set(text, claiming);
    return claiming;
  };
}

async function claimCharges(
  pool: SqlPool,
  holder: string,
  leaseMs: number,
  operations: readonly NewCharge[],
): Promise<Claimed[]> {
  const rows = await pool.query<OperationRow & { n: number; claimed: boolean }>(
    `SELECT n, claimed, ${operationColumns} FROM claim_charges($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), LATERAL (SELECT (operation).*) AS o`,
    [
      ...keysOf(operations.map((key) => ({ key }))),
      operations.map(({ details }) => details.payer),
      operations.map(({ amountMinor }) => amountMinor),
      operations.map(({ details }) => details.currency),
      operations.map(({ fingerprint }) => Buffer.from(fingerprint, 'hex')),
      operations.map(({ processorKey }) => processorKey),
      operations.map(({ details }) => details.tokenBox),
      holder,
      leaseMs,
    ],
    'claim_charges',
  );
  return inOrder(operations.length, rows).map((row) => {
    if (row === undefined) throw new TypeError('a claim without a row');
    const { n: _position, claimed, ...operation } = row;
    return { result: claimed ? 'claimed' : 'exists', operation };
  });
}

/** A write by one attempt. */
interface Write {
  key: OperationKey;
  attempt: number;
}
interface Finish extends Write {
  answer: ProcessorAnswer;
  body: string;
}
/** The position, from 1, of an item whose write passed the fence. */
interface Written extends Record<string, unknown> {
  n: number;
}

/** The writes of a payment that share statements. */
export interface GatheredWrites {
  recordCharging(key: OperationKey, attempt: number): Promise<boolean>;
  finish(key: OperationKey, attempt: number, answer: ProcessorAnswer, body: string): Promise<boolean>;
}

/** Creates the writes of a payment. A write returns false if the fence refused it. */
export function gatherWrites(pool: SqlPool, options: OperationStoreOptions): GatheredWrites {
  const recordCharging = gatherWrite(options, 'charging', (writes: readonly Write[]) =>
    pool.query<Written>(
      'SELECT record_charging($1, $2, $3, $4) AS n',
      [...keysOf(writes), writes.map(({ attempt }) => attempt), options.leaseMs],
      'record_charging',
    ),
  );
  const finish = gatherWrite(options, 'finish', (writes: readonly Finish[]) =>
    pool.query<Written>(
      'SELECT finish_operations($1, $2, $3, $4, $5, $6, $7) AS n',
      [
        ...keysOf(writes),
        writes.map(({ attempt }) => attempt),
        writes.map(({ answer }) => answer.outcome),
        writes.map(({ answer }) => answer.reference),
        writes.map(({ answer }) => answer.reason),
        writes.map(({ body }) => body),
      ],
      'finish_operations',
    ),
  );
  return {
    recordCharging: async (key, attempt) => recordCharging({ key, attempt }),
    finish: async (key, attempt, answer, body) => finish({ key, attempt, answer, body }),
  };
}

function gatherWrite<W extends Write>(
  { gatherMax, waitingMax, onStatement }: OperationStoreOptions,
  statement: GatheredStatement,
  write: (writes: readonly W[]) => Promise<Written[]>,
): (item: W) => Promise<boolean> {
  return createGather<W, boolean>({
    itemsMax: gatherMax,
    waitingMax,
    keyOf: ({ key }) => keyText(key),
    run: async (writes) => inOrder(writes.length, await write(writes)).map((row) => row !== undefined),
    onStatement: (count) => onStatement?.(statement, count),
  });
}

/** Sorts rows by their position `n`, from 1; a position without a row is undefined. */
function inOrder<R extends { n: number }>(count: number, rows: readonly R[]): (R | undefined)[] {
  const ordered = new Array<R | undefined>(count).fill(undefined);
  for (const row of rows) ordered[row.n - 1] = row;
  return ordered;
}

function keysOf(items: readonly { key: OperationKey }[]): [string[], string[]] {
  return [items.map(({ key }) => key.caller), items.map(({ key }) => key.transactionId)];
}
