/** Turns errors of PostgreSQL into answers for the customer. */
import { codeOf, MeshError } from '@thermomesh/runtime';
import { problem } from './problem.ts';

/**
 * Codes of a database that could lose what it commits; the log of the relay says what to change.
 */
const unsafe = new Set(['sql.not_durable', 'sql.not_a_session']);
/** SQLSTATEs of a missing schema: undefined_table, undefined_function, undefined_column. */
const noSchema = new Set(['sql.42P01', 'sql.42883', 'sql.42703']);

/**
 * Resolves with the result of `work`.
 * @throws HttpError 503 if the database is away, unsafe or without its schema; any other error of
 *   `work` as it is
 */
export async function withAnswers<T>(retryAfterSeconds: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const options = { retryAfterSeconds, cause: error };
    if (unsafe.has(codeOf(error) ?? ''))
      throw problem(
        503,
        'checkout.database_unsafe',
        'the database could lose an order, so none is taken: its operator must change a setting',
        options,
      );
    if (error instanceof MeshError && error.retriable)
      throw problem(
        503,
        'checkout.database_down',
        'PostgreSQL does not answer now: ask again with the same Idempotency-Key',
        options,
      );
    if (noSchema.has(codeOf(error) ?? ''))
      throw problem(
        503,
        'checkout.no_schema',
        'the database lacks the checkout’s schema: migrate it',
        options,
      );
    throw error;
  }
}
