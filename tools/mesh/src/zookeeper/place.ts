/** Finds the ZooKeeper of a command, and opens a client of it. */
import { existsSync, readFileSync } from 'node:fs';
import { operatorUser } from '@thermomesh/contracts';
import { deriveToken, subjects, type MeshError } from '@thermomesh/runtime';
import { hasCode, ZooKeeper, type Credentials } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { meshError } from '../errors.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { readRunFile } from '../mesh/files/run-file.ts';
import { readSecret } from '../mesh/files/secrets.ts';

/** A ZooKeeper, and where its address comes from, for people. */
export interface ZooKeeperPlace {
  hosts: string;
  origin: string;
}

export interface PlaceOptions {
  /** Name of the mesh. */
  name: string;
  hosts?: string | undefined;
}

const connectTimeoutMs = 5_000;
const sessionTimeoutMs = 6_000;
const hostsPattern = /^[^\s,/]+:\d+(,[^\s,/]+:\d+)*(\/[^\s]*)?$/;

/**
 * The requested ZooKeeper, else the running mesh's, else the one of ZOOKEEPER_HOSTS; undefined if
 * there is none.
 * @throws MeshError `usage`
 */
export function findZooKeeper(config: MeshConfig, { name, hosts }: PlaceOptions): ZooKeeperPlace | undefined {
  if (hosts !== undefined) {
    if (hostsPattern.test(hosts)) return { hosts, origin: '--hosts' };
    throw meshError('usage', `--hosts "${hosts}" must have the form host:port,host:port[/path]`);
  }
  const run = readRunFile(layoutOf(config.home, name));
  const recorded = run?.zookeeperHosts ?? '';
  if (run?.state !== 'stopped' && recorded !== '') {
    return { hosts: recorded, origin: `of the mesh "${name}"` };
  }
  const { zookeeperHosts } = config;
  return zookeeperHosts === undefined ? undefined : { hosts: zookeeperHosts, origin: 'ZOOKEEPER_HOSTS' };
}

/**
 * As {@link findZooKeeper}, but required.
 * @throws MeshError `zookeeper.absent`, `usage`
 */
export function needZooKeeper(config: MeshConfig, options: PlaceOptions): ZooKeeperPlace {
  const place = findZooKeeper(config, options);
  if (place !== undefined) return place;
  throw meshError(
    'zookeeper.absent',
    `the mesh "${options.name}" runs no ZooKeeper now: start it ("mesh up"), or name one (--hosts host:port,…, or ZOOKEEPER_HOSTS)`,
  );
}

/** The error for a ZooKeeper that does not answer. */
export function silent({ hosts, origin }: ZooKeeperPlace, timeoutMs: number, cause?: unknown): MeshError {
  return meshError(
    'zookeeper.timeout',
    `no ZooKeeper serves at ${hosts} (${origin}) within ${timeoutMs / 1000} s: is it up, and a majority of it?`,
    { cause },
  );
}

/**
 * The credentials of `--auth`: `mesh` is the operator of the mesh, anything else a file with
 * `user:password` in it.
 * @throws MeshError `usage`, `mesh.unknown`
 */
export function readCredentials(config: MeshConfig, name: string, auth: string): Credentials {
  if (auth === 'mesh') {
    const token = deriveToken(readSecret(layoutOf(config.home, name)), subjects.operator);
    return { scheme: 'digest', secret: `${operatorUser}:${token}` };
  }
  if (!existsSync(auth)) {
    // The argument may be a secret, so the message must not repeat it.
    throw meshError(
      'usage',
      '--auth does not name a file: it takes "mesh", or a file with user:password in it',
    );
  }
  const secret = readFileSync(auth, 'utf8').trim();
  if (!/^[^:\s]+:\S+$/.test(secret)) {
    throw meshError('usage', 'the file of --auth must contain one line user:password');
  }
  return { scheme: 'digest', secret };
}

/**
 * Calls `work` with a connected client that reads nothing older than now, and closes the client.
 * @throws MeshError `zookeeper.timeout` if no server accepts it
 */
export async function withZooKeeper<T>(
  place: ZooKeeperPlace,
  credentials: Credentials | undefined,
  work: (zk: ZooKeeper) => Promise<T>,
): Promise<T> {
  const zk = new ZooKeeper({
    hosts: place.hosts,
    sessionTimeoutMs,
    ...(credentials === undefined ? {} : { auth: [credentials] }),
  });
  try {
    zk.start();
    await zk.whenConnected({ timeoutMs: connectTimeoutMs });
    await zk.retry(async () => zk.sync(), { timeoutMs: connectTimeoutMs });
    return await work(zk);
  } catch (error) {
    // The deadline of the retry is a TimeoutError of the platform.
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    if (!late && !hasCode(error, 'zookeeper.timeout')) throw error;
    throw silent(place, connectTimeoutMs, error);
  } finally {
    await zk.close();
  }
}
