/** The closed list of the error codes of billing. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: billingError } = defineErrors({
  /** Too many calls wait for PostgreSQL, or it did not answer in time. Nothing was charged. */
  'payments.busy': { retriable: true, http: 503 },
  /** BILLING_SECRET is not the secret that the stored payment token was encrypted with. */
  'payments.token_unreadable': { retriable: false },
  /** The card processor did not answer in time. */
  'processor.timeout': { retriable: false },
  /** The answer of the card processor is too large to be read. */
  'processor.answer_too_large': { retriable: false },
  /** HTTP 400: the header Idempotency-Key is missing. */
  'payments.missing_key': { retriable: false, http: 400 },
  /** HTTP 400: the header Idempotency-Key is not a UUID. */
  'payments.bad_key': { retriable: false, http: 400 },
  /** HTTP 422: the key was used with other parameters. */
  'payments.other_parameters': { retriable: false, http: 422 },
  /** HTTP 409: the payment is still running. */
  'payments.running': { retriable: false, http: 409 },
  /** HTTP 410: the answer is no longer kept. */
  'payments.retired': { retriable: false, http: 410 },
  /** HTTP 400: a time is neither RFC 3339 with a zone nor Unix ms, or not plausible. */
  'http.bad_instant': { retriable: false, http: 400 },
  /** HTTP 404: the caller has no such payment. */
  'payments.unknown': { retriable: false, http: 404 },
  /** HTTP 409: the payment to refund is still running. */
  'refunds.payment_running': { retriable: false, http: 409 },
  /** HTTP 422: the payment to refund was declined. */
  'refunds.not_charged': { retriable: false, http: 422 },
  /** HTTP 422: the refunds would exceed the payment. */
  'refunds.exceeds': { retriable: false, http: 422 },
});

/** A code of the list. */
export type BillingErrorCode = keyof typeof errorCodes;
