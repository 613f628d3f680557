/** Errors of PostgreSQL and of its connections, classified by what the caller can do. */
import { codeOf, defineErrors, MeshError, messageOf } from '@thermomesh/runtime';

/** The error codes of this package; `sql.<SQLSTATE>` of a failed statement comes on top. */
export const { codes: errorCodes, error: sqlError } = defineErrors({
  'sql.data_refused': { retriable: false },
  /** Another process has been migrating for longer than this one waits. */
  'sql.migration_locked': { retriable: true },
  /** The server or the role has a setting with which a commit can be lost. */
  'sql.not_durable': { retriable: true, http: 503 },
  /** A pooler gives the transactions of one connection to several sessions. */
  'sql.not_a_session': { retriable: true, http: 503 },
  'sql.schema_too_new': { retriable: false },
  'sql.stale_epoch': { retriable: false },
  'sql.unavailable': { retriable: true, http: 503 },
});
type SqlErrorCode = keyof typeof errorCodes;

/**
 * SQLSTATE that our functions raise when the caller's epoch is no longer the coordinator's (I2).
 */
export const staleEpochState = 'TM001';

/**
 * The fence refused the statement: another coordinator has taken over. The caller must step down;
 * a retry cannot succeed.
 */
export class StaleEpochError extends MeshError {
  constructor(cause: unknown) {
    super('sql.stale_epoch' satisfies SqlErrorCode, messageOf(cause), { cause });
  }
}

/** PostgreSQL refuses the data itself (SQLSTATE class 22 or 23): the same rows never succeed. */
export class DataRefusedError extends MeshError {
  readonly sqlState: string;

  constructor(cause: unknown, sqlState: string) {
    super('sql.data_refused' satisfies SqlErrorCode, messageOf(cause), { cause });
    this.sqlState = sqlState;
  }
}

/**
 * The database cannot keep the promises, so no statement is sent to it. The message says what to
 * change. The same call succeeds once that has been done.
 */
export class UnsafeDatabaseError extends MeshError {
  constructor(code: Extract<SqlErrorCode, 'sql.not_durable' | 'sql.not_a_session'>, message: string) {
    super(code, message, { retriable: errorCodes[code].retriable, httpStatus: errorCodes[code].http });
  }
}

/** There is no answer about the statement: it may have committed or not. */
export class SqlUnavailableError extends MeshError {
  constructor(cause: unknown) {
    const code = 'sql.unavailable' satisfies SqlErrorCode;
    super(code, messageOf(cause), { cause, retriable: true, httpStatus: errorCodes[code].http });
  }
}

/**
 * The statement itself failed: a bug of the program or of the schema. `code` is `sql.<SQLSTATE>`.
 */
export class SqlStatementError extends MeshError {
  /** The DETAIL of the server's message (RAISE … USING DETAIL). */
  readonly detail: string | undefined;

  constructor(cause: unknown, sqlState: string, detail: string | undefined) {
    super(`sql.${sqlState}`, messageOf(cause), { cause });
    this.detail = detail;
  }
}

/**
 * SQLSTATE classes that concern the server or the connection, not the statement: connection,
 * resources, operator intervention, system.
 */
const unavailableClasses = new Set(['08', '53', '57', '58', 'XX']);
/**
 * Single states that are temporary: lock_not_available, serialization_failure, deadlock_detected,
 * read_only_sql_transaction.
 */
const temporaryStates = new Set(['55P03', '40001', '40P01', '25006']);

/** Turns an error of the driver into one of the classes above. */
export function classifySqlError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const code = codeOf(error);
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code)) return new SqlUnavailableError(error);
  if (code === staleEpochState) return new StaleEpochError(error);
  const sqlClass = code.slice(0, 2);
  if (unavailableClasses.has(sqlClass) || temporaryStates.has(code)) return new SqlUnavailableError(error);
  if (sqlClass === '22' || sqlClass === '23') return new DataRefusedError(error, code);
  const detail = (error as { detail?: unknown }).detail;
  return new SqlStatementError(error, code, typeof detail === 'string' ? detail : undefined);
}
