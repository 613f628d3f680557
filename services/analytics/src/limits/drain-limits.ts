/**
 * The limits of a batch: the node's static limits and, where ZooKeeper is used, the published ones
 * on top of them.
 */
import { drainLimitNames, operatorUser, type DrainLimits } from '@thermomesh/contracts';
import { deriveToken, subjects, type Log, type Metrics } from '@thermomesh/runtime';
import type { Credentials, ZooKeeper } from '@thermomesh/zookeeper';
import type { DrainLimitsSource } from '../core/ports.ts';
import type { DrainLimitsFrame } from './core/rules.ts';
import { followDrainLimits } from './zk-drain-limits.ts';

export interface DrainLimitsOptions {
  /** The static limits. */
  initial: DrainLimits;
  frame: DrainLimitsFrame;
  /** Where the published limits are; undefined: the static limits always apply. */
  published: PublishedOptions | undefined;
  log: Log;
  metrics: Metrics;
}

export interface PublishedOptions {
  zk: ZooKeeper;
  /** The ZooKeeper node below which the group keeps everything. */
  path: string;
  /** The secret of the mesh, from which the operator's token is derived. */
  secret: string;
  /** Creates a client with these credentials; it is not started. */
  connectAs: (auth: Credentials[]) => ZooKeeper;
}

/** Value of the gauge `drain_limits_version` for static limits; documents have versions from 0. */
const staticVersion = -1;

/** Creates the source of the limits, with its metrics. */
export function createDrainLimits(options: DrainLimitsOptions): DrainLimitsSource {
  const { metrics } = options;
  const refused = metrics.counter('drain_limits_refused_total', 'Published drain limits that were refused');
  const source = openSource(options, () => refused.inc());
  const limit = metrics.gauge('drain_limit', 'Limits of a batch; the name ends with the unit', ['name']);
  Object.assign(limit, {
    collect() {
      for (const name of drainLimitNames) limit.set({ name }, source.view().limits[name]);
    },
  });
  const version = metrics.gauge(
    'drain_limits_version',
    'Version of the published drain limits; -1 for static limits',
  );
  Object.assign(version, { collect: () => version.set(source.view().version ?? staticVersion) });
  return source;
}

function openSource(
  { initial, frame, published, log }: DrainLimitsOptions,
  onRefused: () => void,
): DrainLimitsSource {
  if (published === undefined) return staticSource(initial);
  const { zk, path, secret, connectAs } = published;
  const adminSecret = `${operatorUser}:${deriveToken(secret, subjects.operator)}`;
  return followDrainLimits({
    zk,
    path,
    adminSecret,
    asAdmin: () => connectAs([{ scheme: 'digest', secret: adminSecret }]),
    initial,
    frame,
    onChanged: ({ limits, source, version }) =>
      log.info({ event: 'drain.limits_changed', source, version, ...limits }),
    onRefused: (reason) => {
      onRefused();
      log.error({ event: 'drain.limits_refused', reason });
    },
    onFailed: (err) => log.warn({ event: 'drain.limits_failed', err }),
  });
}

function staticSource(limits: DrainLimits): DrainLimitsSource {
  return {
    view: () => ({ limits, source: 'static', version: null, fresh: true, refused: null }),
    start: () => undefined,
    stop: async () => undefined,
  };
}
