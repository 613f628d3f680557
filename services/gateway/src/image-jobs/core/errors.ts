/** The error codes of the proxy to the equalizer. */
import { defineErrors, MeshError, messageOf } from '@thermomesh/runtime';

/** The closed list of codes, and the function that makes their errors. */
export const { codes: errorCodes, error: imageJobsError } = defineErrors({
  /** The caller closed its connection. */
  'jobs.cut': { retriable: false },
  /** The nodes refuse the gateway's own token. */
  'jobs.gateway_refused': { retriable: false },
  /** A node died after it took a part of the upload. */
  'jobs.interrupted': { retriable: false },
  /** One node gave no answer; another one may. */
  'jobs.no_answer': { retriable: true },
  /** No node gave an answer. */
  'jobs.no_equalizer': { retriable: false },
  /** The settings name no way to find an equalizer. */
  'jobs.off': { retriable: false },
});

export type ImageJobsErrorCode = keyof typeof errorCodes;

/**
 * A node gave no answer. `begun` is true if a part of the upload was read from the caller, so that
 * no other node can get all of it.
 */
export class NoAnswerError extends MeshError {
  readonly begun: boolean;

  constructor(url: string, begun: boolean, cause: unknown) {
    const code = 'jobs.no_answer';
    const { retriable } = errorCodes[code];
    super(code, `${url} gave no answer: ${messageOf(cause)}`, { retriable, cause });
    this.begun = begun;
  }
}
