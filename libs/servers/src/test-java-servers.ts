/** ZooKeeper and Kafka for tests: in temporary folders, on free ports, gone with the test's process, whatever happens to it. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { configuredZooKeeperHosts } from './config.ts';
import { startKafkaCluster, type KafkaCluster, type KafkaClusterOptions } from './kafka/cluster.ts';
import { startEnsemble, type Ensemble, type EnsembleOptions } from './zookeeper/ensemble.ts';

/** An ensemble of a test's own. */
export interface TestEnsemble extends Ensemble {
  /** Stops the servers and removes their data. */
  remove(): Promise<void>;
}

/** One ZooKeeper server. */
export async function testZooKeeper(options: Partial<EnsembleOptions> = {}): Promise<TestEnsemble> {
  return testEnsemble({ servers: 1, ...options });
}

/** An ensemble: three servers if nothing else is said. */
export async function testEnsemble(options: Partial<EnsembleOptions> = {}): Promise<TestEnsemble> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-zk-'));
  const removeFolder = async () => rm(folder, { recursive: true, force: true });
  const ensemble = await startEnsemble({
    servers: 3,
    dataDir: folder,
    endWithParent: true,
    scratchFolder: folder,
    ...options,
  }).catch(async (error: unknown) => {
    await removeFolder();
    throw error;
  });
  return {
    ...ensemble,
    async remove() {
      // Nobody wants the data: an orderly end would only take longer.
      await Promise.all(ensemble.members.map(async (member) => member.kill()));
      await removeFolder();
    },
  };
}

/** A ZooKeeper that tests of several files may use at the same time. */
export interface SharedZooKeeper {
  /** `127.0.0.1:port,…`, without a path. */
  hosts: string;
  /** The znode below which this test keeps everything; it does not exist yet. */
  root: string;
  /** The last one stops a server that was started for it. */
  release(): Promise<void>;
}

let shared: Promise<TestEnsemble> | undefined;
let users = 0;

/** What `ZOOKEEPER_HOSTS` names, else a server that is started for this process, once. For tests that do not kill it. */
export async function sharedZooKeeper(): Promise<SharedZooKeeper> {
  const hosts = configuredZooKeeperHosts();
  const root = `/test_${process.pid}_${randomBytes(4).toString('hex')}`;
  if (hosts !== undefined) return { hosts, root, release: async () => undefined };
  users += 1;
  const own = await (shared ??= testZooKeeper());
  let released = false;
  return {
    hosts: own.hosts,
    root,
    async release() {
      if (released) return;
      released = true;
      users -= 1;
      if (users > 0) return;
      shared = undefined;
      await own.remove();
    },
  };
}

/** A cluster of a test's own, with its ZooKeeper. */
export interface TestKafka extends KafkaCluster {
  zookeeper: Ensemble;
  /** Stops brokers and ZooKeeper and removes their data. */
  remove(): Promise<void>;
}

/** One broker on one ZooKeeper server, if nothing else is said. */
export async function testKafka(
  options: Partial<KafkaClusterOptions> & { zookeeper?: Partial<EnsembleOptions> } = {},
): Promise<TestKafka> {
  const { zookeeper: zookeeperOptions, ...kafkaOptions } = options;
  const zookeeper = await testZooKeeper(zookeeperOptions);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-kafka-'));
  const removeAll = async () => {
    await rm(folder, { recursive: true, force: true });
    await zookeeper.remove();
  };
  const cluster = await startKafkaCluster({
    brokers: 1,
    zookeeperHosts: zookeeper.hosts,
    dataDir: folder,
    endWithParent: true,
    scratchFolder: folder,
    ...kafkaOptions,
  }).catch(async (error: unknown) => {
    await removeAll();
    throw error;
  });
  return {
    ...cluster,
    zookeeper,
    async remove() {
      await Promise.all(cluster.members.map(async (member) => member.kill()));
      await removeAll();
    },
  };
}
