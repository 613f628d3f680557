/** Where the equalizer's nodes are, told by themselves in ZooKeeper: whoever is listed there, with its proof, is sent callers' images. */
import { findService, type FindServiceOptions, type ServiceFinder } from '@thermomesh/zookeeper';

export type FindOptions = Omit<FindServiceOptions, 'service'>;
export type EqualizerFinder = ServiceFinder;

export function findEqualizers(options: FindOptions): EqualizerFinder {
  return findService({ ...options, service: 'equalizer' });
}
