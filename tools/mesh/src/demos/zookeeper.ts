/** A ZooKeeper for the demonstrations: the mesh's, or a temporary one. */
import { randomBytes } from 'node:crypto';
import { testZooKeeper } from '@thermomesh/servers';
import { hasCode, ZooKeeper } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { findZooKeeper, silent, type PlaceOptions } from '../zookeeper/place.ts';

export interface DemoZooKeeper {
  /** Where the server comes from, for people. */
  origin: string;
  /** All servers, as clients take them. */
  hosts: string;
  /** A node of this demonstration, below which it keeps everything. */
  root: string;
  /** Removes what the demonstration has written, or the whole temporary server. Idempotent. */
  close(): Promise<void>;
}

const connectTimeoutMs = 10_000;
const answerTimeoutMs = 5_000;

/**
 * Opens the named ZooKeeper, the running mesh's, or that of ZOOKEEPER_HOSTS. If there is none of
 * them or it does not answer, starts a temporary one.
 * @throws MeshError `zookeeper.timeout` if the one that `hosts` names does not answer
 */
export async function openDemoZooKeeper(config: MeshConfig, options: PlaceOptions): Promise<DemoZooKeeper> {
  const root = `/demo-${process.pid}-${randomBytes(4).toString('hex')}`;
  const place = findZooKeeper(config, options);
  const serves = place !== undefined && (await answers(place.hosts));
  if (place !== undefined && !serves && options.hosts !== undefined) throw silent(place, answerTimeoutMs);
  if (place !== undefined && serves) {
    let closed: Promise<void> | undefined;
    const close = () => (closed ??= removeAll(place.hosts, root));
    return { ...place, root, close };
  }
  const server = await testZooKeeper();
  let removed: Promise<void> | undefined;
  return { origin: 'a temporary one', hosts: server.hosts, root, close: () => (removed ??= server.remove()) };
}

/**
 * Opens a connected client.
 * @throws ZooKeeperError `zookeeper.timeout`
 */
export async function connectTo(hosts: string, sessionTimeoutMs: number): Promise<ZooKeeper> {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
  zk.start();
  try {
    await zk.whenConnected({ timeoutMs: connectTimeoutMs });
    return zk;
  } catch (error) {
    await zk.close();
    throw error;
  }
}

async function answers(hosts: string): Promise<boolean> {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs: connectTimeoutMs });
  zk.start();
  try {
    await zk.whenConnected({ timeoutMs: answerTimeoutMs });
    return true;
  } catch (error) {
    if (!hasCode(error, 'zookeeper.timeout')) throw error;
    return false;
  } finally {
    await zk.close();
  }
}

/**
 * Ephemeral nodes of sessions that died just now may still exist; they are deleted like any child.
 */
async function removeAll(hosts: string, root: string): Promise<void> {
  const zk = await connectTo(hosts, connectTimeoutMs);
  try {
    await zk.retry(async () => zk.deleteTree(root), { timeoutMs: connectTimeoutMs });
  } finally {
    await zk.close();
  }
}
