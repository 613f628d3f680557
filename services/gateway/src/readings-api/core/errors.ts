/** The error codes of the proxy to the analytics nodes. */
import { defineErrors } from '@thermomesh/runtime';

/** The closed list of codes. */
export const { codes: errorCodes } = defineErrors({
  /** The caller closed its connection. */
  'readings.cut': { retriable: false, http: 503 },
  /** A node refuses the gateway's own token. */
  'readings.gateway_refused': { retriable: false, http: 503 },
  /** A node failed while it worked on a request that must not be sent twice. */
  'readings.interrupted': { retriable: false, http: 503 },
  /** No node gave an answer. */
  'readings.no_node': { retriable: false, http: 503 },
  /** The settings name no way to find an analytics node. */
  'readings.off': { retriable: false, http: 503 },
  /** The gateway passes on as many requests as it may. */
  'readings.too_many': { retriable: false, http: 503 },
  /** The gateway passes on as many requests of this key as it may. */
  'readings.too_many_of_caller': { retriable: false, http: 429 },
});

export type ReadingsErrorCode = keyof typeof errorCodes;
