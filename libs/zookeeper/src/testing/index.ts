/** What tests of this and other packages share. Needs the servers of `@thermomesh/servers`. */
export { endingSessionMs, TestClients, testServers, testTickTimeMs, type LinkedClient } from './clients.ts';
export { useZooKeeper, type UsedZooKeeper, type UseZooKeeperOptions } from './use-zookeeper.ts';
