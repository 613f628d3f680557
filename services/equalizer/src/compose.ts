/** A node put together but for HTTP: one ZooKeeper session, one Kafka client, one pool of threads, and the roles on them. */
import { operatorUser } from '@thermomesh/contracts';
import { openKafka, type KafkaClient } from '@thermomesh/kafka';
import { defaultLeaderLimits } from '@thermomesh/mapreduce';
import {
  codeOf,
  createCrashHook,
  deriveToken,
  parseCrashPlan,
  subjects,
  type Health,
  type Log,
} from '@thermomesh/runtime';
import {
  DynamicConfig,
  GroupMembership,
  parseMemberMetadata,
  ServiceDiscovery,
  ZooKeeper,
  type MemberMetadata,
} from '@thermomesh/zookeeper';
import { openFsBlobs } from './adapters/fs-blobs.ts';
import { createRecords, type Records } from './adapters/kafka-records.ts';
import { createZooKeeperJobs } from './adapters/zookeeper-jobs.ts';
import {
  announcedHost,
  imageLimits,
  kafkaReplication,
  mapReduceLimits,
  nodeName,
  type Config,
} from './config.ts';
import { createCoordinator, type Coordinator } from './coordinator/coordinator.ts';
import { createOwnWork } from './coordinator/own-work.ts';
import type { BlobStore } from './core/blob-store.ts';
import { parseChunkConfig, type ChunkConfig } from './core/chunk-pixels.ts';
import { isOver, nodesOf, type Jobs } from './core/jobs.ts';
import { createChunkWork } from './leader/chunk-work.ts';
import { createLeader, type Leader } from './leader/leader.ts';
import { unlessMoot } from './leader/moot-tasks.ts';
import { sampleGauges, type EqualizerMetrics } from './metrics.ts';
import { createImageWorkers, type ImageWorkers } from './worker/index.ts';

export interface ComposeOptions {
  config: Config;
  version: string;
  log: Log;
  health: Health;
  metrics: EqualizerMetrics;
}

export interface Node {
  readonly jobs: Jobs;
  readonly blobs: BlobStore;
  readonly workers: ImageWorkers;
  readonly coordinator: Coordinator;
  readonly leader: Leader;
  readonly zk: ZooKeeper;
  /** Takes part. Does not wait for ZooKeeper or Kafka. */
  start(): void;
  /** Lists the node, which is served at that port, with its group and with discovery. */
  announce(port: number): void;
  /** Callers hear at once that it goes. Idempotent. */
  withdraw(): Promise<void>;
  /** Gives up the title, and each partition after its task in flight. Idempotent. */
  handOver(): Promise<void>;
  /** After {@link handOver}. Idempotent. */
  close(): Promise<void>;
}

const serviceName = 'equalizer';
/** How long threads may take that nobody waits for. */
const workersGraceMs = 1_000;

/** @throws MeshError `blob.io` if the blobs' folder cannot be had */
export async function composeNode(options: ComposeOptions): Promise<Node> {
  const { config, log, metrics } = options;
  const stopping = new AbortController();
  const blobs = await openFsBlobs({ folder: config.BLOB_DIR });
  const zk = openZooKeeper(config, log);
  const kafka = openKafkaOf(config, log);
  const workers = openWorkers(config, log, metrics);
  const records = recordsOf(config, kafka, log, stopping.signal);
  const chunks = chunkConfig(zk, config, log);
  const jobs = createZooKeeperJobs({
    zk,
    root: config.ZOOKEEPER_PATH,
    onDamaged: (path, faults) => log.error({ event: 'job.unreadable', path, faults }),
  });
  const { leader, coordinator } = rolesOf(options, { zk, records, jobs, blobs, workers, chunks });
  const listing = listingOf(options, zk);
  addChecks(options.health, { zk, records, coordinator, leader });
  const stopSampling = sampleGauges(metrics, () => workers);
  let handedOver: Promise<void> | undefined;
  let closed: Promise<void> | undefined;
  async function handOver(): Promise<void> {
    // The title first: whoever takes it over needs the time that the last tasks take.
    await coordinator.stop();
    await leader.stop();
  }
  async function close(): Promise<void> {
    stopping.abort();
    await chunks.close();
    await zk.close();
    await kafka.close();
    await workers.close(workersGraceMs);
    stopSampling();
  }
  return {
    ...{ jobs, blobs, workers, coordinator, leader, zk },
    start() {
      zk.start();
      workers.warm();
      chunks.start();
      leader.start();
      coordinator.start();
    },
    announce: (port) => listing.announce(port),
    withdraw: async () => listing.withdraw(),
    handOver: () => (handedOver ??= handOver()),
    close: () => (closed ??= close()),
  };
}

interface Resources {
  zk: ZooKeeper;
  records: Records;
  jobs: Jobs;
  blobs: BlobStore;
  workers: ImageWorkers;
  chunks: DynamicConfig<ChunkConfig>;
}

function rolesOf(
  { config, log, metrics }: ComposeOptions,
  { zk, records, jobs, blobs, workers, chunks }: Resources,
): { leader: Leader; coordinator: Coordinator } {
  const crash = createCrashHook(parseCrashPlan(config.CRASH_POINT), config.CRASH_WITNESS_FILE);
  const shared = { zk, records, metrics, log, crash, root: config.ZOOKEEPER_PATH, id: nodeName(config) };
  const leader = createLeader({
    ...shared,
    partitions: config.TASK_PARTITIONS,
    limits: defaultLeaderLimits,
    handOverTimeoutMs: config.HAND_OVER_TIMEOUT_MS,
    work: unlessMoot({
      ...{ blobs, log },
      work: createChunkWork({ blobs, workers, metrics, log, crash }),
      isOver: async (id) => hasEnded(zk, jobs, config.ZOOKEEPER_PATH, id),
    }),
  });
  const work = createOwnWork({
    ...{ blobs, workers, crash, limits: imageLimits(config) },
    chunkPixelsMax: () => chunks.current.value.chunk_pixels,
  });
  const coordinator = createCoordinator({
    ...{ ...shared, blobs, work },
    limits: mapReduceLimits(config),
    rememberedJobsMax: config.JOBS_REMEMBERED_MAX,
    recoveryDeadlineMs: config.RECOVERY_DEADLINE_MS,
    onElected: (epoch) => leader.coordinatorSeen(epoch),
  });
  return { leader, coordinator };
}

/** By what was written before the call: a server that lags behind is not believed. */
async function hasEnded(zk: ZooKeeper, jobs: Jobs, root: string, id: string): Promise<boolean> {
  await zk.sync(nodesOf(root).job(id));
  const view = await jobs.read(id);
  return view === undefined || isOver(view.phase);
}

function openWorkers(config: Config, log: Log, metrics: EqualizerMetrics): ImageWorkers {
  return createImageWorkers({
    threads: config.WORKER_THREADS,
    queueMax: config.WORKER_QUEUE_MAX,
    taskTimeoutMs: config.TASK_TIMEOUT_MS,
    limits: imageLimits(config),
    onCrash: (err) => {
      metrics.workerCrashes.inc();
      log.error({ event: 'worker.crashed', err });
    },
  });
}

function openZooKeeper(config: Config, log: Log): ZooKeeper {
  const zk = new ZooKeeper({
    hosts: config.ZOOKEEPER_HOSTS,
    sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
    auth: [{ scheme: 'digest', secret: adminSecretOf(config) }],
    onFault: (err) => log.error({ event: 'zookeeper.fault', err }),
  });
  zk.onPhase((phase) => log.info({ event: 'zookeeper.phase', phase }));
  return zk;
}

/** Of the mesh's operator: nobody else may write the configuration. */
function adminSecretOf({ MESH_SECRET: secret }: Config): string {
  return `${operatorUser}:${deriveToken(secret, subjects.operator)}`;
}

function openKafkaOf(config: Config, log: Log): KafkaClient {
  return openKafka({
    settings: {
      brokers: config.KAFKA_BROKERS.split(','),
      clientId: nodeName(config),
      callDeadlineMs: config.KAFKA_CALL_DEADLINE_MS,
    },
    log,
  });
}

function recordsOf(config: Config, kafka: KafkaClient, log: Log, signal: AbortSignal): Records {
  return createRecords({
    ...{ kafka, log, signal },
    topicPrefix: config.KAFKA_TOPIC_PREFIX,
    partitions: config.TASK_PARTITIONS,
    replication: kafkaReplication(config),
    retentionMs: config.KAFKA_RETENTION_MS,
  });
}

function chunkConfig(zk: ZooKeeper, config: Config, log: Log): DynamicConfig<ChunkConfig> {
  const chunks = new DynamicConfig<ChunkConfig>(zk, {
    path: nodesOf(config.ZOOKEEPER_PATH).config,
    parse: parseChunkConfig,
    initial: { chunk_pixels: config.CHUNK_PIXELS },
    adminSecret: adminSecretOf(config),
    onFailed: (err) => log.error({ event: 'config.not_followed', code: codeOf(err), err }),
    onRejected: (err) => log.warn({ event: 'config.refused', err }),
  });
  chunks.onChange(({ value, version }) => log.info({ event: 'config.changed', ...value, version }));
  return chunks;
}

/** The node's entries in its group and in discovery, once it is served somewhere. */
function listingOf({ config, version, log }: ComposeOptions, zk: ZooKeeper) {
  const id = nodeName(config);
  const address = announcedHost(config) ?? config.HTTP_HOST;
  let listed: { close: () => Promise<void> }[] = [];
  return {
    announce(port: number): void {
      const metadata: MemberMetadata = {
        version,
        address: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
        flavour: `${serviceName}/${config.FLAVOUR}`,
      };
      const onFailed = (err: unknown) =>
        log.error({ event: 'equalizer.announcement_failed', code: codeOf(err), err });
      // Whoever lists himself is sent callers: the proof needs the mesh's secret, and holds for this place alone.
      const proof = deriveToken(config.MESH_SECRET, `announcement:${serviceName}:${id}:${address}:${port}`);
      const members = new GroupMembership<MemberMetadata>(zk, {
        path: nodesOf(config.ZOOKEEPER_PATH).members,
        self: { id, metadata },
        parse: parseMemberMetadata,
        onFailed,
      });
      const discovery = new ServiceDiscovery(zk, {
        path: config.SERVICES_PATH,
        service: serviceName,
        self: { id, instance: { address, port, metadata: { proof } } },
        onFailed,
      });
      listed = [members.start(), discovery.start()];
    },
    async withdraw(): Promise<void> {
      const leaving = listed;
      listed = [];
      // Without a server this waits for one; the end of the session withdraws all the same.
      if (zk.phase === 'connected') await Promise.all(leaving.map(async (each) => each.close()));
    },
  };
}

function addChecks(
  health: Health,
  parts: { zk: ZooKeeper; records: Records; coordinator: Coordinator; leader: Leader },
): void {
  const { zk, records, coordinator, leader } = parts;
  health.add('zookeeper', () => (zk.phase === 'connected' ? undefined : `the session is ${zk.phase}`));
  health.add('kafka', () => records.fault());
  health.add('roles', () => coordinator.fault() ?? leader.fault());
}
