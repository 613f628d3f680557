/** The error codes of the gateway's HTTP proxy. */
import { codeOf, defineErrors, MeshError, messageOf } from '@thermomesh/runtime';

/** The closed list of codes, and the function that makes their errors. */
export const { codes: errorCodes, error: proxyError } = defineErrors({
  /** The caller closed its connection. */
  'proxy.cut': { retriable: false },
  /** A time limit has passed. */
  'proxy.late': { retriable: true },
  /** One node gave no answer; another one may. */
  'proxy.no_answer': { retriable: true },
});

/** The code of a missed time limit. */
export const lateCode = 'proxy.late';

/** How far a request had come when its node failed. */
export type Progress =
  /** The node cannot have seen any of it. */
  | 'unsent'
  /** The node may have worked on it. */
  | 'sent'
  /** A part of the upload was read from the caller, so that no other node can get all of it. */
  | 'begun';

/** A node gave no answer. */
export class NoAnswerError extends MeshError {
  readonly progress: Progress;

  constructor(url: string, progress: Progress, cause: unknown) {
    const code = 'proxy.no_answer';
    const { retriable } = errorCodes[code];
    super(code, `${url} gave no answer: ${messageOf(cause)}`, { retriable, cause });
    this.progress = progress;
  }

  /** True if the node let a time limit pass. */
  get late(): boolean {
    return codeOf(this.cause) === lateCode;
  }

  /** True if no other node can get all of the request. */
  get begun(): boolean {
    return this.progress === 'begun';
  }
}
