/** Which ZooKeeper is meant, and a client of it. */
import { existsSync, readFileSync } from 'node:fs';
import { operatorUser } from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { hasCode, ZooKeeper, type Credentials } from '@thermomesh/zookeeper';
import type { MeshConfig } from '../config.ts';
import { layoutOf } from '../state/layout.ts';
import { readRunFile } from '../state/run-file.ts';
import { readSecret } from '../state/secrets.ts';

/** A ZooKeeper and whose it is, for people. */
export interface ZooKeeperPlace {
  hosts: string;
  origin: string;
}

export interface PlaceOptions {
  /** Which mesh. */
  name: string;
  hosts?: string | undefined;
}

const connectTimeoutMs = 5_000;
const sessionTimeoutMs = 6_000;
const hostsPattern = /^[^\s,/]+:\d+(,[^\s,/]+:\d+)*(\/[^\s]*)?$/;

/**
 * What was asked for, else the running mesh's, else what ZOOKEEPER_HOSTS names; undefined if there is none of them.
 * @throws MeshError `usage`
 */
export function findZooKeeper(config: MeshConfig, { name, hosts }: PlaceOptions): ZooKeeperPlace | undefined {
  if (hosts !== undefined) {
    if (hostsPattern.test(hosts)) return { hosts, origin: '--hosts' };
    throw new MeshError('usage', `--hosts "${hosts}" must read host:port,host:port[/path]`);
  }
  const run = readRunFile(layoutOf(config.home, name));
  const recorded = run?.zookeeperHosts ?? '';
  if (run?.state !== 'stopped' && recorded !== '') {
    return { hosts: recorded, origin: `of the mesh "${name}"` };
  }
  const { zookeeperHosts } = config;
  return zookeeperHosts === undefined ? undefined : { hosts: zookeeperHosts, origin: 'ZOOKEEPER_HOSTS' };
}

/** As {@link findZooKeeper}. @throws MeshError `zookeeper.absent`, `usage` */
export function needZooKeeper(config: MeshConfig, options: PlaceOptions): ZooKeeperPlace {
  const place = findZooKeeper(config, options);
  if (place !== undefined) return place;
  throw new MeshError(
    'zookeeper.absent',
    `the mesh "${options.name}" runs no ZooKeeper now: start it ("mesh up"), or say where one is (--hosts host:port,…, or ZOOKEEPER_HOSTS)`,
  );
}

/** What to say when nobody answers. */
export function silent({ hosts, origin }: ZooKeeperPlace, timeoutMs: number, cause?: unknown): MeshError {
  return new MeshError(
    'zookeeper.timeout',
    `no ZooKeeper serves at ${hosts} (${origin}) within ${timeoutMs / 1000} s: is it up, and a majority of it?`,
    { cause, retriable: true },
  );
}

/**
 * What `--auth` says: `mesh` is the operator of the mesh, anything else a file that holds `user:password`.
 * @throws MeshError `usage`, `mesh.unknown`
 */
export function readCredentials(config: MeshConfig, name: string, auth: string): Credentials {
  if (auth === 'mesh') {
    const token = deriveToken(readSecret(layoutOf(config.home, name)), subjects.operator);
    return { scheme: 'digest', secret: `${operatorUser}:${token}` };
  }
  if (!existsSync(auth)) {
    // Whoever typed the secret itself must not see it printed.
    throw new MeshError('usage', '--auth names no file: it takes "mesh", or a file that holds user:password');
  }
  const secret = readFileSync(auth, 'utf8').trim();
  if (!/^[^:\s]+:\S+$/.test(secret)) {
    throw new MeshError('usage', 'the file of --auth must hold one line user:password');
  }
  return { scheme: 'digest', secret };
}

/**
 * Calls `work` with a client that is connected and reads nothing older than now, and closes it.
 * @throws MeshError `zookeeper.timeout` if no server takes it
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
