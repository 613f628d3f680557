/**
 * What a node does in ZooKeeper besides its election, over one session: it follows the published
 * drain limits and meets the other nodes.
 */
import type { Log, Metrics } from '@thermomesh/runtime';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { connect } from './adapters/zk-client.ts';
import { openMeetingPlace } from './adapters/zk-rendezvous.ts';
import type { NodeSettings } from './config.ts';
import type { DrainLimitsSource, MeetingPlace } from './core/ports.ts';
import { createDrainLimits } from './limits/drain-limits.ts';

/** A node's work in ZooKeeper. */
export interface ZooKeeperWork {
  readonly drainLimits: Pick<DrainLimitsSource, 'view'>;
  /** Starts the session; does not wait until ZooKeeper can be reached. */
  start(): void;
  /**
   * Resolves when all nodes have met, or after a bounded time; then the log names the missing
   * nodes. Resolves at once if the node has no ZooKeeper.
   */
  meet(): Promise<void>;
  /** Ends the session in bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** Creates the work; it is not started. Without ZooKeeper it only holds the static drain limits. */
export function createZooKeeperWork(settings: NodeSettings, log: Log, metrics: Metrics): ZooKeeperWork {
  const { zookeeper } = settings;
  const zk = zookeeper === undefined ? undefined : connect(zookeeper, log);
  const drainLimits = createDrainLimits({
    initial: settings.drain.limits,
    frame: { queueBytesMax: settings.drain.queueBytesMax },
    published:
      zk === undefined || zookeeper === undefined
        ? undefined
        : {
            zk,
            path: zookeeper.path,
            secret: settings.secret,
            connectAs: (auth) => connect(zookeeper, log, auth),
          },
    log,
    metrics,
  });
  const place = zk === undefined ? undefined : openPlace(settings, log, zk);
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    // The client is closed first: that ends its reads, so nothing waits for a frozen server.
    await zk?.close();
    await Promise.all([drainLimits.stop(), place?.stop()]);
  }
  return {
    drainLimits,
    start() {
      zk?.start();
      drainLimits.start();
      place?.start();
    },
    async meet() {
      const meeting = await place?.meet();
      if (meeting === undefined) return;
      const { met, ...details } = meeting;
      if (met) log.info({ event: 'rendezvous.met', ...details });
      else log.warn({ event: 'rendezvous.incomplete', ...details });
    },
    stop: () => (stopped ??= stop()),
  };
}

function openPlace(settings: NodeSettings, log: Log, zk: ZooKeeper): MeetingPlace | undefined {
  const { zookeeper, nodeId, peers, url } = settings;
  if (zookeeper === undefined) return undefined;
  return openMeetingPlace({
    zk,
    path: zookeeper.path,
    nodeId,
    url,
    nodes: [nodeId, ...peers.map((peer) => peer.nodeId)].toSorted((a, b) => a - b),
    timeoutMs: zookeeper.rendezvousTimeoutMs,
    onFailed: (err) => log.warn({ event: 'rendezvous.failed', err }),
  });
}
