/** The error codes of this package. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: peersError } = defineErrors({
  'peers.bad_options': { retriable: false },
  'peers.not_attached': { retriable: false },
});
