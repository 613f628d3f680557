/** The error codes of this package. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: linksError } = defineErrors({
  'links.closed': { retriable: false },
  'links.duplicate': { retriable: false },
  'links.port_taken': { retriable: false },
  'links.unknown': { retriable: false },
});
