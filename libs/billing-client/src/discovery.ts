/** Where the replicas of billing are, told by themselves in ZooKeeper: whoever is listed there, with its proof, is sent payment tokens. */
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
/** Its `urls` are those of the client. */
export type BillingFinder = ServiceFinder;

export interface AnnounceOptions extends DiscoveryPlace {
  /** Of the replica; two that call themselves the same are told (`onFault`), and the later one stays. */
  replica: string;
  address: string;
  port: number;
}

const service = 'billing';

/** Lists a replica. Does not wait until ZooKeeper can be reached. */
export function announceBilling({ replica: id, address, port, ...place }: AnnounceOptions): Announcement {
  return announceService(service, { id, address, port }, place);
}

/** Follows the replicas. */
export function findBilling(options: FindOptions): BillingFinder {
  return findService({ ...options, service });
}
