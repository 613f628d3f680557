/** The error codes of the proxy to the equalizer. */
import { defineErrors } from '@thermomesh/runtime';

/** The closed list of codes. */
export const { codes: errorCodes } = defineErrors({
  /** The caller closed its connection. */
  'jobs.cut': { retriable: false, http: 503 },
  /** The nodes refuse the gateway's own token. */
  'jobs.gateway_refused': { retriable: false, http: 503 },
  /** A node died after it took a part of the upload. */
  'jobs.interrupted': { retriable: false, http: 503 },
  /** No node gave an answer. */
  'jobs.no_equalizer': { retriable: false, http: 503 },
  /** The settings name no way to find an equalizer. */
  'jobs.off': { retriable: false, http: 503 },
});

export type ImageJobsErrorCode = keyof typeof errorCodes;
