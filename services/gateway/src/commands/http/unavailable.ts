/** Turns errors of PostgreSQL into answers for the caller. */
import { codeOf, MeshError } from '@thermomesh/runtime';
import { problem } from './problem.ts';

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
        'command.database_unsafe',
        'the database could lose a command, so none is taken: its operator must change a setting',
        options,
      );
    if (error instanceof MeshError && error.retriable)
      throw problem(
        503,
        'command.database_down',
        'PostgreSQL does not answer now: ask again with the same Idempotency-Key',
        options,
      );
    if (noSchema.has(codeOf(error) ?? ''))
      throw problem(
        503,
        'command.no_schema',
        'the database lacks the schema of commands: migrate it',
        options,
      );
    throw error;
  }
}
