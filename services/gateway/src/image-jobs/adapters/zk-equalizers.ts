/**
 * Finds the nodes of the equalizer through ZooKeeper. Listed nodes receive callers' images, so a
 * node counts only with a proof that it knows the secret of the mesh.
 */
import { findService, type FindServiceOptions } from '@thermomesh/zookeeper';
import type { EqualizerFinder } from '../core/ports.ts';

export type FindOptions = Omit<FindServiceOptions, 'service'>;

/** Follows the list of nodes; nothing connects before `start`. */
export function findEqualizers(options: FindOptions): EqualizerFinder {
  return findService({ ...options, service: 'equalizer' });
}
