/** What can be wrong with a ledger. The domain layer knows no platform, hence an error class of its own. */

export type LedgerFault = 'ledger.damaged' | 'ledger.exists' | 'ledger.unwritable';

/** An error with a stable `code`; never retriable: evidence is not repaired by trying again. */
export class LedgerError extends Error {
  readonly code: LedgerFault;
  readonly retriable = false;

  constructor(code: LedgerFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LedgerError';
    this.code = code;
  }
}
