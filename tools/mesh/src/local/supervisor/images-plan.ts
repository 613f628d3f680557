/** The image part of the mesh: equalizer nodes, which start once ZooKeeper and Kafka serve. */
import { mkdirSync } from 'node:fs';
import os from 'node:os';
import { meshError } from '../../errors.ts';
import { equalizerProcess } from '../../mesh/equalizer-process.ts';
import { equalizerPath, servicesPath } from '../../mesh/files/znodes.ts';
import { host, launchService, type PlanOptions } from './launching.ts';
import type { ProcessSpec } from './spec.ts';
import type { Stage } from './supervisor.ts';

/**
 * The local mesh is loaded and broken by one caller, so it allows many jobs, uses small chunks so
 * that every image involves several nodes, and keeps results only for a short time.
 */
const settings = {
  CHUNK_PIXELS: '250000',
  JOBS_OPEN_MAX: '2000',
  JOBS_PER_CALLER_MAX: '2000',
  JOB_RETENTION_MS: '300000',
  // A job must wait less than 2 s for the partitions of a dead node; the ticks of the mesh's own
  // ZooKeeper allow this session timeout.
  SESSION_TIMEOUT_MS: '1000',
  // Less than the supervisor's own time limit.
  STOP_TIMEOUT_MS: '10000',
};
/** Threads of each node: together no more than there are processors, but at least one. */
const threadsOf = (nodes: number) => Math.max(1, Math.floor(os.availableParallelism() / nodes));

/** The servers that the equalizer needs; their addresses are known when it starts. */
export interface ImageServers {
  zookeeperHosts: () => string | null;
  kafkaBrokers: () => string | null;
  /** Settles when both have served once or are not available: whether they serve. */
  up: Promise<boolean>;
}

export interface ImagesPlan {
  /** Starts beside the other stages, which do not wait for it. */
  stage: Stage;
  /** The variables for the gateway: it uses these addresses until nodes have registered. */
  gatewayEnv(): Record<string, string>;
}

export function planImages(options: PlanOptions, servers: ImageServers): ImagesPlan {
  const ports = (options.ports.images ?? []).slice(0, options.equalizers);
  if (ports.length === 0) throw meshError('mesh.start_failed', 'no ports were chosen for images');
  const urls = ports.map((port) => `http://${host}:${port}`);
  return {
    stage: {
      part: 'images',
      late: true,
      async before() {
        if (!(await servers.up)) throw meshError('images.no_servers', 'it needs ZooKeeper and Kafka');
        mkdirSync(options.layout.blobsDir, { recursive: true });
      },
      specs: ports.map((port, index) => equalizerSpec(options, servers, index + 1, port)),
    },
    gatewayEnv() {
      const hosts = servers.zookeeperHosts();
      return {
        EQUALIZER_URLS: urls.join(','),
        ...(hosts === null ? {} : { ZOOKEEPER_HOSTS: hosts, SERVICES_PATH: servicesPath(options.name) }),
      };
    },
  };
}

function equalizerSpec(options: PlanOptions, servers: ImageServers, id: number, port: number): ProcessSpec {
  const { layout, config, equalizers = 1 } = options;
  const name = `equalizer-${id}`;
  const url = `http://${host}:${port}`;
  const own = () => ({
    NODE_ID: String(id),
    MESH_SECRET_FILE: layout.secretFile,
    API_KEYS_FILE: layout.apiKeysFile,
    ZOOKEEPER_HOSTS: servers.zookeeperHosts() ?? '',
    ZOOKEEPER_PATH: equalizerPath(options.name),
    SERVICES_PATH: servicesPath(options.name),
    KAFKA_BROKERS: servers.kafkaBrokers() ?? '',
    // Meshes that share brokers keep their topics apart.
    ...(config.kafkaBrokers === undefined ? {} : { KAFKA_TOPIC_PREFIX: `thermomesh-${options.name}` }),
    BLOB_DIR: layout.blobsDir,
    HTTP_HOST: host,
    HTTP_PORT: String(port),
    WORKER_THREADS: String(threadsOf(equalizers)),
    ...equalizerProcess(config.environment),
    ...settings,
  });
  return {
    name,
    role: 'equalizer',
    url,
    ports: { http: port },
    logFile: layout.logFile(name),
    launch: async (start) =>
      launchService(options, name, 'services/equalizer/src/main.ts', url, start, own()),
  };
}
