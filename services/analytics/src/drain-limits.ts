/** Where the limits of a batch come from: the settings of this node, and over them what is published in ZooKeeper. */
import { drainLimitNames, operatorUser, type DrainLimits } from '@thermomesh/contracts';
import { deriveToken, subjects, type Log, type Metrics } from '@thermomesh/runtime';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { followDrainLimits, type DrainLimitsSource } from './adapters/zk-drain-limits.ts';
import { staticDrainLimits, type Config } from './config.ts';
import { connect } from './adapters/zk-client.ts';

/** Of static limits: a published document is at 0 or above. */
const noVersion = -1;

/** @param zk undefined: the settings of this node hold for ever */
export function createDrainLimits(
  config: Config,
  log: Log,
  metrics: Metrics,
  zk: ZooKeeper | undefined,
): DrainLimitsSource {
  const refused = metrics.counter('drain_limits_refused_total', 'Published drain limits that were refused');
  const source = open(config, log, zk, () => refused.inc());
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

function open(config: Config, log: Log, zk: ZooKeeper | undefined, onRefused: () => void): DrainLimitsSource {
  const initial = staticDrainLimits(config);
  const adminSecret = `${operatorUser}:${deriveToken(config.MESH_SECRET, subjects.operator)}`;
  if (zk === undefined) return fixed(initial);
  return followDrainLimits({
    zk,
    path: config.ZOOKEEPER_PATH,
    adminSecret,
    asAdmin: () => connect(config, log, [{ scheme: 'digest', secret: adminSecret }]),
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
