/** Where the limits of a batch come from: the settings of this node, and over them what is published in ZooKeeper. */
import { drainLimitNames, type DrainLimits } from '@thermomesh/contracts';
import type { Log, Metrics } from '@thermomesh/runtime';
import { followDrainLimits, type DrainLimitsSource } from './adapters/zk-drain-limits.ts';
import { staticDrainLimits, type Config } from './config.ts';

/** Of static limits: a published document is at 0 or above. */
const noVersion = -1;

export function createDrainLimits(config: Config, log: Log, metrics: Metrics): DrainLimitsSource {
  const refused = metrics.counter('drain_limits_refused_total', 'Published drain limits that were refused');
  const source = open(config, log, () => refused.inc());
  const limit = metrics.gauge('drain_limit', 'What a batch is cut by: the unit is in the name', ['name']);
  Object.assign(limit, {
    collect() {
      for (const name of drainLimitNames) limit.set({ name }, source.view().limits[name]);
    },
  });
  const version = metrics.gauge('drain_limits_version', 'Of the published drain limits; -1: static ones');
  Object.assign(version, { collect: () => version.set(source.view().version ?? noVersion) });
  return source;
}

function open(config: Config, log: Log, onRefused: () => void): DrainLimitsSource {
  const initial = staticDrainLimits(config);
  const { ZOOKEEPER_HOSTS: hosts } = config;
  if (hosts === undefined) return fixed(initial);
  return followDrainLimits({
    hosts,
    path: config.ZOOKEEPER_PATH,
    sessionTimeoutMs: config.ZOOKEEPER_SESSION_TIMEOUT_MS,
    initial,
    frame: { queueBytesMax: config.DRAIN_QUEUE_BYTES_MAX },
    onChanged: ({ limits, source, version }) =>
      log.info({ event: 'drain.limits_changed', source, version, ...limits }),
    onRefused: (reason) => {
      onRefused();
      log.error({ event: 'drain.limits_refused', reason });
    },
    onFault: (err) => log.warn({ event: 'drain.limits_failed', err }),
  });
}

function fixed(limits: DrainLimits): DrainLimitsSource {
  return {
    view: () => ({ limits, source: 'static', version: null, fresh: true, refused: null }),
    start: () => undefined,
    stop: async () => undefined,
  };
}
