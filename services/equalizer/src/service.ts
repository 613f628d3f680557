/** An equalizer node: the roles and the HTTP surface. Tests use the same composition. */
import {
  createHealth,
  createMetrics,
  listen,
  type HttpApp,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import about from '../package.json' with { type: 'json' };
import { composeNode, type Node } from './compose.ts';
import type { EqualizerSettings } from './config.ts';
import { createAccess } from './http/access.ts';
import { createEqualizerApp } from './http/app.ts';
import { createJanitor } from './janitor.ts';
import { createEqualizerMetrics } from './metrics.ts';

export interface EqualizerService extends Service {
  /** The port that HTTP listens on; 0 until the service is started. */
  readonly httpPort: number;
  readonly node: Node;
}

/** @throws MeshError `blob.io`, `blob.no_space` if the folder of blobs cannot be created */
export async function createService(settings: EqualizerSettings, log: Log): Promise<EqualizerService> {
  const registry = createMetrics();
  const metrics = createEqualizerMetrics(registry);
  const health = createHealth();
  const node = await composeNode({ settings, log, health, metrics, version: about.version });
  const { jobs, blobs, workers, coordinator, leader } = node;
  const access = createAccess({
    secret: settings.secret,
    apiKeysFile: settings.http.apiKeysFile,
    onDamagedKeys: (lines) => log.error({ event: 'api_keys.damaged', lines }),
    onUseUnrecorded: (err) => log.info({ event: 'api_keys.use_unrecorded', err }),
  });
  const app = await createEqualizerApp(
    { access, log, health, metrics: registry },
    { nodeId: settings.nodeId, coordinator, leader, jobs, blobs, workers, limits: settings.http.limits },
  );
  const janitor = createJanitor({
    jobs,
    blobs,
    log,
    ...settings.janitor,
    onRemoved: () => metrics.orphansRemoved.inc(),
  });
  let httpPort = 0;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    await node.withdraw();
    // Uploads finish while tasks in flight do: both still need ZooKeeper.
    await Promise.all([closeApp(app, log), node.handOver(), janitor.stop()]);
    await node.close();
  }
  return {
    node,
    get httpPort() {
      return httpPort;
    },
    async start() {
      node.start();
      janitor.start();
      const { host, port } = settings.http;
      httpPort = Number(new URL(await listen(app, host, port)).port);
      node.announce(httpPort);
      log.info({ event: 'equalizer.listening', httpPort });
    },
    stop: () => (stopped ??= stop()),
  };
}

/** Closes the HTTP surface. An error is only logged, so that the roles are handed over anyway. */
async function closeApp(app: HttpApp, log: Log): Promise<void> {
  try {
    await app.close();
  } catch (err) {
    log.error({ event: 'equalizer.http_close_failed', err });
  }
}
