/**
 * What all connections to PostgreSQL share: how a statement runs, and what a new connection gets.
 */
import type pg from 'pg';
import { assertDurable, factsText, sessionText, type ConnectionFacts } from './durability.ts';
import { classifySqlError } from './errors.ts';

export type Row = Record<string, unknown>;

/** Runs one statement. Every error is one of the classes of errors.ts. */
export interface Queryable {
  query<R extends Row = Row>(text: string, values?: readonly unknown[], name?: string): Promise<R[]>;
}

/** Time limits that the server enforces, in milliseconds. */
export interface ServerLimits {
  statementTimeoutMs: number;
  lockTimeoutMs?: number;
  idleInTransactionTimeoutMs?: number;
}

/** Runs one statement. */
export async function run<R extends Row>(
  target: pg.Pool | pg.Client | pg.ClientBase,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<R[]> {
  try {
    const config = { text, values: [...values], ...(name === undefined ? {} : { name }) };
    const result = await target.query<R>(config);
    return result.rows;
  } catch (error) {
    throw classifySqlError(error);
  }
}

/** Reads what a connection says of itself. */
export async function factsOf(client: pg.ClientBase): Promise<ConnectionFacts> {
  const [facts] = await run<ConnectionFacts & Row>(client, factsText);
  if (facts === undefined) throw new RangeError('PostgreSQL answered no row');
  return facts;
}

/** Names the session that serves the connection now. */
export async function sessionOf(client: pg.ClientBase): Promise<string> {
  const [row] = await run<{ session: string }>(client, sessionText);
  return row?.session ?? '';
}

/** The limits as parameters of the start of a connection. */
export function startParameters(limits: ServerLimits): pg.ClientConfig {
  return {
    statement_timeout: limits.statementTimeoutMs,
    ...(limits.lockTimeoutMs === undefined ? {} : { lock_timeout: limits.lockTimeoutMs }),
    ...(limits.idleInTransactionTimeoutMs === undefined
      ? {}
      : { idle_in_transaction_session_timeout: limits.idleInTransactionTimeoutMs }),
  };
}

/**
 * Makes a new connection ready for writes that must last. The limits are given by a statement,
 * because a pooler refuses parameters of the start that it does not know.
 * @throws UnsafeDatabaseError `sql.not_durable`
 */
export async function prepareForWrites(client: pg.ClientBase, limits: ServerLimits): Promise<void> {
  assertDurable(await factsOf(client));
  const settings = Object.entries(startParameters(limits));
  const calls = settings.map((_, index) => `set_config($${2 * index + 1}, $${2 * index + 2}, false)`);
  await run(client, `SELECT ${calls.join(', ')}`, settings.flat().map(String));
}
