/** The error codes of the checkout. */
import { defineErrors } from '@thermomesh/runtime';

/** The closed list of codes, and the function that makes their errors. */
export const { codes: errorCodes, error: checkoutError } = defineErrors({
  /** An attempt at billing failed; BullMQ tries again after a pause. */
  'checkout.attempt_failed': { retriable: false },
  /** The Idempotency-Key is malformed. */
  'checkout.bad_key': { retriable: false, http: 400 },
  /** PostgreSQL does not answer. */
  'checkout.database_down': { retriable: false, http: 503 },
  /** PostgreSQL could lose what it commits, or a pooler mixes the sessions. */
  'checkout.database_unsafe': { retriable: false, http: 503 },
  /** The request has no Idempotency-Key. */
  'checkout.missing_key': { retriable: false, http: 400 },
  /** The database lacks the checkout's schema. */
  'checkout.no_schema': { retriable: false, http: 503 },
  /** The settings switch the checkout off. */
  'checkout.off': { retriable: false, http: 503 },
  /** The Idempotency-Key was used with other parameters. */
  'checkout.other_parameters': { retriable: false, http: 422 },
  /** Redis does not answer (not retriable), or the queue is not open yet (retriable). */
  'checkout.redis_down': { retriable: 'depends', http: 503 },
  /** Redis may lose work: see `redis-safety.ts`. */
  'checkout.redis_unsafe': { retriable: false, http: 503 },
  /** The gateway is stopping. */
  'checkout.stopping': { retriable: false, http: 503 },
  /** The stored payment token was sealed with another secret. */
  'checkout.token_unreadable': { retriable: false },
  /** The limit of all event streams is reached. */
  'checkout.too_many_streams': { retriable: false, http: 503 },
  /** The limit of event streams of one API key is reached. */
  'checkout.too_many_streams_of_key': { retriable: false, http: 429 },
  /** The caller has no checkout with this id. */
  'checkout.unknown': { retriable: false, http: 404 },
  /** A rate limit is reached. */
  'http.too_many_requests': { retriable: false, http: 429 },
});

export type CheckoutErrorCode = keyof typeof errorCodes;
