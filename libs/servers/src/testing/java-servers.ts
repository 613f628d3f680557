/**
 * ZooKeeper and Kafka for tests: in temporary folders and on free ports. Servers and folders
 * disappear with the process of the test, kill -9 included.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { configuredZooKeeperHosts } from '../config.ts';
import { startKafkaCluster, type KafkaCluster, type KafkaClusterOptions } from '../kafka/cluster.ts';
import { startEnsemble, type Ensemble, type EnsembleOptions } from '../zookeeper/ensemble.ts';
import { sharedServer } from './shared-server.ts';

/** An ensemble that only one test uses. */
export interface TestEnsemble extends Ensemble {
  /** Stops the servers and removes their data. */
  remove(): Promise<void>;
}

/** Starts one ZooKeeper server. */
export async function testZooKeeper(options: Partial<EnsembleOptions> = {}): Promise<TestEnsemble> {
  return testEnsemble({ servers: 1, ...options });
}

/** Starts an ensemble; default: three servers. */
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
      // No test needs the data any more, and a graceful shutdown would take longer.
      await Promise.all(ensemble.members.map(async (member) => member.kill()));
      await removeFolder();
    },
  };
}

/** A ZooKeeper server that several tests use at the same time. */
export interface SharedZooKeeper {
  /** `127.0.0.1:port,…`, without a path. */
  hosts: string;
  /** The znode below which this test keeps all its nodes; it does not exist yet. */
  root: string;
  /** The last `release` in this process stops the server, if this process started it. */
  release(): Promise<void>;
}

const acquireServer = sharedServer(testZooKeeper, async (own) => own.remove());

/**
 * The servers that `ZOOKEEPER_HOSTS` names, or else one that all users in this process share. For
 * tests that do not kill it.
 */
export async function sharedZooKeeper(): Promise<SharedZooKeeper> {
  const hosts = configuredZooKeeperHosts();
  const root = `/test_${process.pid}_${randomBytes(4).toString('hex')}`;
  if (hosts !== undefined) return { hosts, root, release: async () => undefined };
  const { server, release } = await acquireServer();
  return { hosts: server.hosts, root, release };
}

/** A cluster that only one test uses, with its ZooKeeper. */
export interface TestKafka extends KafkaCluster {
  zookeeper: Ensemble;
  /** Stops brokers and ZooKeeper and removes their data. */
  remove(): Promise<void>;
}

/** Starts a cluster; default: one broker on one ZooKeeper server. */
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
