/** What PostgreSQL or the way to it answered, sorted by what the caller can do about it. */
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';

/** SQLSTATE that our functions raise when the caller's epoch is no longer the coordinator's (I2). */
export const staleEpochState = 'TM001';

/** The fence said no: another coordinator has taken over. The caller steps down; trying again is of no use. */
export class StaleEpochError extends MeshError {
  constructor(cause: unknown) {
    super('sql.stale_epoch', messageOf(cause), { cause });
  }
}

/** PostgreSQL refuses the data itself (SQLSTATE class 22 or 23): the same rows will never go in. */
export class DataRefusedError extends MeshError {
  readonly sqlState: string;

  constructor(cause: unknown, sqlState: string) {
    super('sql.data_refused', messageOf(cause), { cause });
    this.sqlState = sqlState;
  }
}

/** No answer, or none that says anything about the statement: it may have committed or not. */
export class SqlUnavailableError extends MeshError {
  constructor(cause: unknown) {
    super('sql.unavailable', messageOf(cause), { cause, retriable: true });
  }
}

/** A statement failed for a reason of its own, `code` is `sql.<SQLSTATE>`: a fault of the program or of the schema. */
export class SqlStatementError extends MeshError {
  /** What the server added to its message (RAISE … USING DETAIL). */
  readonly detail: string | undefined;

  constructor(cause: unknown, sqlState: string, detail: string | undefined) {
    super(`sql.${sqlState}`, messageOf(cause), { cause });
    this.detail = detail;
  }
}

/** SQLSTATE classes that tell of the server or the way to it: connection, resources, operator, system. */
const unavailableClasses = new Set(['08', '53', '57', '58', 'XX']);
/** Single states that pass by themselves: lock_not_available, serialization_failure, deadlock_detected, read_only_sql_transaction. */
const passingStates = new Set(['55P03', '40001', '40P01', '25006']);

/** Turns whatever the driver threw into one of the classes above. */
export function classifySqlError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const code = codeOf(error);
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code)) return new SqlUnavailableError(error);
  if (code === staleEpochState) return new StaleEpochError(error);
  const sqlClass = code.slice(0, 2);
  if (unavailableClasses.has(sqlClass) || passingStates.has(code)) return new SqlUnavailableError(error);
  if (sqlClass === '22' || sqlClass === '23') return new DataRefusedError(error, code);
  const detail = (error as { detail?: unknown }).detail;
  return new SqlStatementError(error, code, typeof detail === 'string' ? detail : undefined);
}
