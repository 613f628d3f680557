/** The node's client of ZooKeeper, for everything but its election. */
import type { Log } from '@thermomesh/runtime';
import { ZooKeeper, type Credentials } from '@thermomesh/zookeeper';
import type { Config } from '../config.ts';

/** The node goes on without: nobody is in a hurry while no server answers. */
const redialDelayMsMax = 2_000;

/** Not started. */
export function connect(
  { ZOOKEEPER_HOSTS: hosts = '', ZOOKEEPER_SESSION_TIMEOUT_MS: sessionTimeoutMs }: Config,
  log: Log,
  auth: Credentials[] = [],
): ZooKeeper {
  const onFault = (err: unknown) => log.warn({ event: 'zookeeper.failed', err });
  return new ZooKeeper({ hosts, sessionTimeoutMs, auth, limits: { redialDelayMsMax }, onFault });
}
