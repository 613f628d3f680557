/** The node's client of ZooKeeper, for everything but its election. */
import type { Log } from '@thermomesh/runtime';
import { ZooKeeper, type Credentials } from '@thermomesh/zookeeper';

export interface ZooKeeperSettings {
  /** `host:port,…` */
  hosts: string;
  sessionTimeoutMs: number;
}

/**
 * Maximum pause between attempts to connect. The node works without ZooKeeper, so it may be long.
 */
const redialDelayMsMax = 2_000;

/** Creates a client; it is not started. */
export function connect(
  { hosts, sessionTimeoutMs }: ZooKeeperSettings,
  log: Log,
  auth: Credentials[] = [],
): ZooKeeper {
  const onError = (err: unknown) => log.warn({ event: 'zookeeper.failed', err });
  return new ZooKeeper({ hosts, sessionTimeoutMs, auth, limits: { redialDelayMsMax }, onError });
}
