/** A node put together: the roles and the HTTP surface. Tests use the same composition. */
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
import type { Config } from './config.ts';
import { coordinatorRoute } from './coordinator/route.ts';
import { createApp } from './http/app.ts';
import { createJanitor } from './janitor.ts';
import { createEqualizerMetrics } from './metrics.ts';

export interface EqualizerService extends Service {
  /** The port that HTTP listens on; known once started. */
  readonly httpPort: number;
  readonly node: Node;
}

export async function createService(config: Config, log: Log): Promise<EqualizerService> {
  const registry = createMetrics();
  const metrics = createEqualizerMetrics(registry);
  const health = createHealth();
  const node = await composeNode({ config, log, health, metrics, version: about.version });
  const { jobs, blobs, workers } = node;
  const app = await createApp({
    ...{ jobs, blobs, workers, log, health, metrics: registry },
    secret: config.MESH_SECRET,
    apiKeysFile: config.API_KEYS_FILE,
    onDamagedKeys: (lines) => log.error({ event: 'access.keys_damaged', lines }),
    limits: {
      uploadBytesMax: config.UPLOAD_BYTES_MAX,
      jobsOpenMax: config.JOBS_OPEN_MAX,
      jobsPerCallerMax: config.JOBS_PER_CALLER_MAX,
      wholeImagePixelsMax: config.WHOLE_IMAGE_PIXELS_MAX,
    },
  });
  const { coordinator, leader } = node;
  coordinatorRoute(app, { nodeId: config.NODE_ID, coordinator, leader, log });
  const janitor = createJanitor({
    ...{ jobs, blobs, log },
    orphanAgeMs: config.BLOB_ORPHAN_AGE_MS,
    intervalMs: config.JANITOR_INTERVAL_MS,
    onRemoved: () => metrics.orphansRemoved.inc(),
  });
  let httpPort = 0;
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    health.close();
    await node.withdraw();
    // Uploads under way end while tasks in flight do: both still need ZooKeeper.
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
      httpPort = Number(new URL(await listen(app, config.HTTP_HOST, config.HTTP_PORT)).port);
      node.announce(httpPort);
      log.info({ event: 'equalizer.listening', httpPort });
    },
    stop: () => (stopped ??= stop()),
  };
}

/** The roles are handed over whatever becomes of it. */
async function closeApp(app: HttpApp, log: Log): Promise<void> {
  try {
    await app.close();
  } catch (err) {
    log.error({ event: 'equalizer.http_close_failed', err });
  }
}
