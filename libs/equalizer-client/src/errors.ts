/** What can come of a call besides an answer. */
import { MeshError } from '@thermomesh/runtime';

/** The equalizer refused the request itself: the same call will never succeed. */
export class EqualizerRefusedError extends MeshError {
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(code, message);
    this.status = status;
  }
}

/** No answer yet: nobody was reached, the connection broke, or the mesh asked for patience (429, 502, 503, 504). */
export class EqualizerNoAnswerError extends MeshError {
  /** It asks for so long a pause; 0 if it says nothing. */
  readonly retryAfterMs: number;

  constructor(message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super('equalizer.no_answer', message, { retriable: true, cause: options.cause });
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
