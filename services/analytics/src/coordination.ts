/** What a node has in ZooKeeper besides its election, over one session: the published drain limits, and where the nodes meet. */
import type { Log, Metrics } from '@thermomesh/runtime';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { connect } from './adapters/zk-client.ts';
import type { DrainLimitsSource } from './adapters/zk-drain-limits.ts';
import { openMeetingPlace } from './adapters/zk-rendezvous.ts';
import type { Config } from './config.ts';
import { createDrainLimits } from './drain-limits.ts';

export interface Coordination {
  readonly drainLimits: Pick<DrainLimitsSource, 'view'>;
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** Returns when all nodes have met, or after a bounded time: then the log says who is missing. Without ZooKeeper at once. */
  meet(): Promise<void>;
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

export function createCoordination(config: Config, log: Log, metrics: Metrics): Coordination {
  const zk = config.ZOOKEEPER_HOSTS === undefined ? undefined : connect(config, log);
  const drainLimits = createDrainLimits(config, log, metrics, zk);
  const place = zk === undefined ? undefined : placeOf(config, log, zk);
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    // The client first: with its session everything goes, and nothing waits for a frozen server.
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

function placeOf(config: Config, log: Log, zk: ZooKeeper) {
  return openMeetingPlace({
    zk,
    path: config.ZOOKEEPER_PATH,
    nodeId: config.NODE_ID,
    url: config.ownUrl,
    nodes: [config.NODE_ID, ...config.peers.map(({ nodeId }) => nodeId)].toSorted((a, b) => a - b),
    timeoutMs: config.RENDEZVOUS_TIMEOUT_MS,
    onFault: (err) => log.warn({ event: 'rendezvous.failed', err }),
  });
}
