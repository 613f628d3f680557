/**
 * Discovery of the replicas of billing, which announce themselves in ZooKeeper. Listed replicas
 * receive payment tokens, so a listing counts only with its proof.
 */
import {
  announceService,
  findService,
  type Announcement,
  type FindServiceOptions,
  type ServiceFinder,
  type ServicePlace,
} from '@thermomesh/zookeeper';

export type { Announcement };
export type DiscoveryPlace = ServicePlace;
export type FindOptions = Omit<FindServiceOptions, 'service'>;
/** Finds replicas; pass its `urls` to the client. */
export type BillingFinder = ServiceFinder;

export interface AnnounceOptions extends DiscoveryPlace {
  /**
   * Name of the replica. If two replicas use the same name, the later one stays, and `onError`
   * receives an error.
   */
  replica: string;
  address: string;
  port: number;
}

const service = 'billing';

/** Announces a replica. It does not wait until ZooKeeper can be reached. */
export function announceBilling({ replica: id, address, port, ...place }: AnnounceOptions): Announcement {
  return announceService(service, { id, address, port }, place);
}

/** Follows the list of replicas. */
export function findBilling(options: FindOptions): BillingFinder {
  return findService({ ...options, service });
}
