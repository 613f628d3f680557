/** The set-up that the integration tests share: a server, its clients, paths. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { testEnsemble, type TestEnsemble } from '@thermomesh/servers';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { TestClients, testServers } from './clients.ts';
import { revive } from './looks.ts';

export interface UsedZooKeeper {
  /** Makes clients that are closed after each test. */
  clients: TestClients;
  /** A path that no test has used; neither the node nor its parent has to exist. */
  freshPath: () => string;
  /** Creates an empty node that no test has used. @returns its path */
  freshNode: (zk: ZooKeeper) => Promise<string>;
  /** The servers; they run from the first test to the last. */
  ensemble: () => TestEnsemble;
}

export interface UseZooKeeperOptions {
  /** Default 1. */
  servers?: 1 | 3;
  /**
   * Restarts, before each test, the servers that the last test left dead or frozen. Default false.
   */
  reviveServers?: boolean;
}

/**
 * Starts ZooKeeper before the tests of the calling file and removes it after them. After each test
 * it closes the clients and asserts that none of them has reported an error.
 */
export function useZooKeeper({
  servers = 1,
  reviveServers = false,
}: UseZooKeeperOptions = {}): UsedZooKeeper {
  let started: TestEnsemble | undefined;
  let paths = 0;
  const ensemble = () => {
    if (started === undefined) throw new Error('ZooKeeper is started before the first test, not earlier');
    return started;
  };
  const clients = new TestClients(() => ensemble().hosts);
  before(async () => {
    started = await testEnsemble({ ...testServers, servers });
  });
  after(async () => started?.remove());
  if (reviveServers) beforeEach(async () => revive(ensemble()));
  afterEach(async () => {
    await clients.closeAll();
    assert.deepEqual(clients.errors, []);
  });
  const freshPath = () => `/tests/t${(paths += 1)}`;
  const freshNode = async (zk: ZooKeeper) => {
    const path = freshPath();
    await zk.ensurePath(path);
    return path;
  };
  return { clients, ensemble, freshPath, freshNode };
}
