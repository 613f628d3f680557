/** What PostgreSQL's absence means for a customer: ask again. */
import { codeOf, HttpError, MeshError } from '@thermomesh/runtime';

/** SQLSTATEs of a schema that is not there yet: undefined_table, undefined_function, undefined_column. */
const noSchema = new Set(['sql.42P01', 'sql.42883', 'sql.42703']);

/** @throws HttpError 503 instead of what says that the database is away or has no schema */
export async function withAnswers<T>(retryAfterSeconds: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const options = { retryAfterSeconds, cause: error };
    if (error instanceof MeshError && error.retriable)
      throw new HttpError(
        503,
        'checkout.database_down',
        'PostgreSQL does not answer now: ask again with the same Idempotency-Key',
        options,
      );
    if (noSchema.has(codeOf(error) ?? ''))
      throw new HttpError(
        503,
        'checkout.no_schema',
        'the database lacks the checkout’s schema: migrate it',
        options,
      );
    throw error;
  }
}
