/** What can come of a call besides an answer. */
import { MeshError } from '@thermomesh/runtime';

/** Billing refused the request itself (400, 401, 403, 404, 410, 413, 422): the same call will never succeed. */
export class BillingRefusedError extends MeshError {
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(code, message);
    this.status = status;
  }
}

/** Why a try brought no answer; `sent` says whether billing may have begun. */
export type NoAnswerReason =
  'unreachable' | 'timeout' | 'broken' | 'running' | 'unavailable' | 'failed' | 'breaker_open';

/** No answer: the payment may have been made or not. Ask again with the same transaction UUID. */
export class BillingNoAnswerError extends MeshError {
  readonly reason: NoAnswerReason;
  /** False only if it is certain that billing has not seen the request. */
  readonly sent: boolean;
  /** Billing asks for so long a pause; 0 if it says nothing. */
  readonly retryAfterMs: number;

  constructor(
    reason: NoAnswerReason,
    options: { sent: boolean; retryAfterMs?: number; retriable?: boolean; cause?: unknown },
  ) {
    super(`billing.${reason}`, `billing gave no answer: ${reason}`, {
      retriable: options.retriable ?? true,
      cause: options.cause,
    });
    this.reason = reason;
    this.sent = options.sent;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
