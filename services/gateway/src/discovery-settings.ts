/** Settings of service discovery, which checkout, image jobs and readings share. */
import { hostList, ms, znodePath } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

/** The settings as TypeBox properties. */
export const discoverySettings = {
  ZOOKEEPER_HOSTS: Type.Optional(
    hostList(
      'ZooKeeper servers, as host:port,…. Replicas of billing, equalizer and analytics nodes are found there.',
    ),
  ),
  SERVICES_PATH: znodePath('/thermomesh/services', 'ZooKeeper node below which services list themselves.'),
  ZOOKEEPER_SESSION_TIMEOUT_MS: ms(4_000, 'Timeout of the ZooKeeper session that follows the lists.', {
    minimum: 200,
  }),
};

const Settings = Type.Object(discoverySettings);
export type DiscoveryConfig = Static<typeof Settings>;

/** Where the lists of services are. */
export interface DiscoveryOptions {
  hosts: string;
  path: string;
  sessionTimeoutMs: number;
}

/** Undefined without ZooKeeper. */
export function discoveryOptions(config: DiscoveryConfig): DiscoveryOptions | undefined {
  if (config.ZOOKEEPER_HOSTS === undefined) return undefined;
  return {
    hosts: config.ZOOKEEPER_HOSTS,
    path: config.SERVICES_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
  };
}
