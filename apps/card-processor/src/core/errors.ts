/** The closed list of the error codes of the card processor. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: processorError } = defineErrors({
  /** A line of the ledger file that is not the last one is damaged. */
  'ledger.corrupt': { retriable: false },
  /** An earlier write of the ledger has failed, so nothing more is written. */
  'ledger.failed': { retriable: false },
  /** HTTP 400: the header Idempotency-Key is missing. */
  'charges.missing_key': { retriable: false, http: 400 },
  /** HTTP 404: the ledger has no entry under this key. */
  'charges.unknown_key': { retriable: false, http: 404 },
  /** HTTP 422: the key was used with other parameters. */
  'charges.other_parameters': { retriable: false, http: 422 },
  /** HTTP 503: the injected fault `refuse`. */
  'charges.refused': { retriable: false, http: 503 },
  /** HTTP 400: the probabilities of the faults add up to more than 1. */
  'faults.rates': { retriable: false, http: 400 },
});

/** A code of the list. */
export type ProcessorErrorCode = keyof typeof errorCodes;
