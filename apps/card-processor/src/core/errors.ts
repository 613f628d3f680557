/** The closed list of the error codes of the card processor. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: processorError } = defineErrors({
  /** A line of the ledger file that is not the last one is damaged. */
  'ledger.corrupt': { retriable: false },
  /** An earlier write of the ledger has failed, so nothing more is written. */
  'ledger.failed': { retriable: false },
  /** HTTP 400: the header Idempotency-Key is missing. */
  'charges.missing_key': { retriable: false },
  /** HTTP 404: the ledger has no entry under this key. */
  'charges.unknown_key': { retriable: false },
  /** HTTP 422: the key was used with other parameters. */
  'charges.other_parameters': { retriable: false },
  /** HTTP 503: the injected fault `refuse`. */
  'charges.refused': { retriable: false },
  /** HTTP 400: the probabilities of the faults add up to more than 1. */
  'faults.rates': { retriable: false },
});

/** A code of the list. */
export type ProcessorErrorCode = keyof typeof errorCodes;
