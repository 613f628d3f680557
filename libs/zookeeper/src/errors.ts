/** What can go wrong with a request, classified where the library is met. */
import { MeshError } from '@thermomesh/runtime';

/** Every code of this library; stable. */
export type ZooKeeperCode =
  | 'zookeeper.no_node'
  | 'zookeeper.node_exists'
  | 'zookeeper.bad_version'
  | 'zookeeper.not_empty'
  | 'zookeeper.no_children_for_ephemerals'
  | 'zookeeper.no_auth'
  | 'zookeeper.auth_failed'
  | 'zookeeper.invalid_acl'
  | 'zookeeper.bad_arguments'
  | 'zookeeper.bad_path'
  | 'zookeeper.too_large'
  | 'zookeeper.too_many_requests'
  | 'zookeeper.not_connected'
  | 'zookeeper.connection_loss'
  | 'zookeeper.session_lost'
  | 'zookeeper.timeout'
  | 'zookeeper.closed'
  | 'zookeeper.lease_lost'
  | 'zookeeper.invalid_config'
  | 'zookeeper.no_instance'
  | 'zookeeper.misused'
  | 'zookeeper.unexpected';

export interface ZooKeeperErrorOptions {
  path?: string | undefined;
  cause?: unknown;
  /** `unknown`: the request left, no answer came; a write may have happened. */
  applied?: 'no' | 'unknown';
}

/** The same call may succeed later without anybody changing anything. */
const retriableCodes: ReadonlySet<ZooKeeperCode> = new Set([
  'zookeeper.not_connected',
  'zookeeper.connection_loss',
  'zookeeper.session_lost',
  'zookeeper.too_many_requests',
  'zookeeper.timeout',
]);

/** An error of this library. `applied` says whether a write that failed so may have happened all the same. */
export class ZooKeeperError extends MeshError {
  declare readonly code: ZooKeeperCode;
  readonly path: string | undefined;
  readonly applied: 'no' | 'unknown';

  constructor(code: ZooKeeperCode, message: string, options: ZooKeeperErrorOptions = {}) {
    super(code, message, { cause: options.cause, retriable: retriableCodes.has(code) });
    this.name = 'ZooKeeperError';
    this.path = options.path;
    this.applied = options.applied ?? 'no';
  }
}

/** True for an error of this library with one of these codes. */
export function hasCode(error: unknown, ...codes: ZooKeeperCode[]): error is ZooKeeperError {
  return error instanceof ZooKeeperError && codes.includes(error.code);
}

/** True if waiting for the connection and trying again is the answer. */
export function isRetriable(error: unknown): error is ZooKeeperError {
  return error instanceof ZooKeeperError && error.retriable;
}
