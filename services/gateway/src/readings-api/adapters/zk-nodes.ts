/**
 * Finds the analytics nodes through ZooKeeper. A node counts only with a proof that it knows the
 * secret of the mesh, because it gets a token of the gateway.
 */
import { analyticsServiceName } from '@thermomesh/contracts';
import { findService, type FindServiceOptions } from '@thermomesh/zookeeper';
import type { NodeFinder } from '../core/ports.ts';

export type FindOptions = Omit<FindServiceOptions, 'service'>;

/** Follows the list of nodes; nothing connects before `start`. */
export function findNodes(options: FindOptions): NodeFinder {
  return findService({ ...options, service: analyticsServiceName });
}
