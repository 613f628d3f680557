/** The errors of a call. */
import { defineErrors, MeshError } from '@thermomesh/runtime';

/**
 * The error codes of this package; a refusal carries the code of the mesh's own answer if it has
 * one.
 */
export const { codes: errorCodes, error: equalizerError } = defineErrors({
  'equalizer.file_changed': { retriable: false },
  'equalizer.misunderstood': { retriable: false },
  'equalizer.no_address': { retriable: false },
  'equalizer.no_answer': { retriable: true },
  'equalizer.refused': { retriable: false },
});
type EqualizerErrorCode = keyof typeof errorCodes;

/** The equalizer refused the request itself: the same call never succeeds. */
export class EqualizerRefusedError extends MeshError {
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(code, message);
    this.status = status;
  }
}

/**
 * There is no answer yet: no node was reached, the connection broke, or the mesh asked the caller
 * to wait (429, 502, 503, 504).
 */
export class EqualizerNoAnswerError extends MeshError {
  /** The pause that the mesh requests; 0 without Retry-After. */
  readonly retryAfterMs: number;

  constructor(message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super('equalizer.no_answer' satisfies EqualizerErrorCode, message, {
      retriable: true,
      cause: options.cause,
    });
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
