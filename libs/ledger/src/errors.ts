/**
 * What can go wrong with a ledger. The domain layer does not know the platform, so it has an error
 * class of its own.
 */

/** Every code. None is retriable: evidence is not repaired by a second attempt. */
export const errorCodes = {
  /** A line cannot be read, or contradicts the lines before it. */
  'ledger.damaged': { retriable: false },
  /** The file exists already: an earlier run wrote it. */
  'ledger.exists': { retriable: false },
  /** The file cannot be created or appended to. */
  'ledger.unwritable': { retriable: false },
} as const satisfies Record<string, { retriable: boolean }>;

export type LedgerErrorCode = keyof typeof errorCodes;

/** An error with a stable `code`. */
export class LedgerError extends Error {
  readonly code: LedgerErrorCode;
  readonly retriable: boolean;

  constructor(code: LedgerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LedgerError';
    this.code = code;
    this.retriable = errorCodes[code].retriable;
  }
}
