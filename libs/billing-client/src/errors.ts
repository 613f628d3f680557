/** The errors of a call. */
import { defineErrors, MeshError } from '@thermomesh/runtime';

/**
 * The error codes of this package; a refusal carries the code of billing's own answer if it has
 * one.
 */
export const { codes: errorCodes } = defineErrors({
  'billing.breaker_open': { retriable: true },
  'billing.broken': { retriable: true },
  'billing.failed': { retriable: false },
  'billing.refused': { retriable: false },
  'billing.running': { retriable: true },
  'billing.timeout': { retriable: true },
  'billing.unavailable': { retriable: true },
  'billing.unreachable': { retriable: true },
});

/**
 * Billing refused the request itself (400, 401, 403, 404, 410, 413, 422): the same call never
 * succeeds.
 */
export class BillingRefusedError extends MeshError {
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(code, message);
    this.status = status;
  }
}

/** The reason why a try got no answer. */
export type NoAnswerReason =
  'unreachable' | 'timeout' | 'broken' | 'running' | 'unavailable' | 'failed' | 'breaker_open';

/** No answer: the payment may have been made or not. Retry with the same transaction UUID. */
export class BillingNoAnswerError extends MeshError {
  readonly reason: NoAnswerReason;
  /** False only if billing has certainly not received the request. */
  readonly sent: boolean;
  /** The pause that billing requests; 0 without Retry-After. */
  readonly retryAfterMs: number;

  constructor(
    reason: NoAnswerReason,
    options: { sent: boolean; retryAfterMs?: number; retriable?: boolean; cause?: unknown },
  ) {
    super(`billing.${reason}` satisfies keyof typeof errorCodes, `billing gave no answer: ${reason}`, {
      retriable: options.retriable ?? true,
      cause: options.cause,
    });
    this.reason = reason;
    this.sent = options.sent;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
