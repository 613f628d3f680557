/** Errors of this library, classified where the adapter meets the client library. */
import { defineErrors, MeshError } from '@thermomesh/runtime';

/** Every error code of this library, and whether the same call may succeed later. */
export const { codes: errorCodes } = defineErrors({
  'zookeeper.no_node': { retriable: false },
  'zookeeper.node_exists': { retriable: false },
  'zookeeper.bad_version': { retriable: false },
  'zookeeper.not_empty': { retriable: false },
  'zookeeper.no_children_for_ephemerals': { retriable: false },
  'zookeeper.no_auth': { retriable: false },
  'zookeeper.auth_failed': { retriable: false },
  'zookeeper.invalid_acl': { retriable: false },
  'zookeeper.bad_arguments': { retriable: false },
  'zookeeper.bad_path': { retriable: false },
  'zookeeper.too_large': { retriable: false },
  'zookeeper.too_many_requests': { retriable: true },
  'zookeeper.not_connected': { retriable: true },
  'zookeeper.connection_loss': { retriable: true },
  'zookeeper.session_lost': { retriable: true },
  'zookeeper.timeout': { retriable: true },
  'zookeeper.closed': { retriable: false },
  'zookeeper.lease_lost': { retriable: false },
  'zookeeper.invalid_config': { retriable: false },
  'zookeeper.no_instance': { retriable: false },
  'zookeeper.misused': { retriable: false },
  'zookeeper.unexpected': { retriable: false },
});

export type ZooKeeperCode = keyof typeof errorCodes;

export interface ZooKeeperErrorOptions {
  path?: string | undefined;
  cause?: unknown;
  /** `unknown`: the request was sent and no answer came, so a write may have happened. */
  applied?: 'no' | 'unknown';
}

/**
 * An error of this library. `applied` tells whether a failed write may have happened nevertheless.
 */
export class ZooKeeperError extends MeshError {
  declare readonly code: ZooKeeperCode;
  readonly path: string | undefined;
  readonly applied: 'no' | 'unknown';

  constructor(code: ZooKeeperCode, message: string, options: ZooKeeperErrorOptions = {}) {
    super(code, message, { cause: options.cause, retriable: errorCodes[code].retriable });
    this.name = 'ZooKeeperError';
    this.path = options.path;
    this.applied = options.applied ?? 'no';
  }
}

/** True for an error of this library with one of these codes. */
export function hasCode(error: unknown, ...codes: ZooKeeperCode[]): error is ZooKeeperError {
  return error instanceof ZooKeeperError && codes.includes(error.code);
}

/** True if the caller should wait for the connection and try again. */
export function isRetriable(error: unknown): error is ZooKeeperError {
  return error instanceof ZooKeeperError && error.retriable;
}

/** True if a request failed without an answer, so that its write may have happened. */
export function mayHaveHappened(error: unknown): error is ZooKeeperError {
  return isRetriable(error) && error.applied === 'unknown';
}
