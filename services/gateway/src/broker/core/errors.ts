/** The error codes of the broker. */
import { defineErrors } from '@thermomesh/runtime';

/** The closed list of codes, and the function that makes their errors. */
export const { codes: errorCodes, error: brokerError } = defineErrors({
  /** Another gateway uses the folder of the store. */
  'folder.locked': { retriable: false },
  /** The gateway is stopping; the publisher sends the message again. */
  'store.closed': { retriable: true },
  /** A commit failed (retriable), or the store cannot be opened (not retriable). */
  'store.failed': { retriable: 'depends' },
  /** A record has a key that the store cannot hold; only this record is refused. */
  'store.bad_key': { retriable: false },
  /** The disk, the file or the address space has no room. */
  'store.full': { retriable: true },
});
