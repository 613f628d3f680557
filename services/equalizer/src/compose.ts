/**
 * The parts of a node, apart from HTTP: one ZooKeeper session, one Kafka client, one pool of
 * threads, and the two roles that use them.
 */
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
import { DynamicConfig, ZooKeeper } from '@thermomesh/zookeeper';
import { openFsBlobs } from './adapters/fs-blobs.ts';
import { createRecords } from './adapters/kafka-records.ts';
import { createZooKeeperJobs } from './adapters/zookeeper-jobs.ts';
import { createAnnouncement } from './announcement.ts';
import type { EqualizerSettings } from './config.ts';
import { createCoordinator, type Coordinator } from './coordinator/coordinator.ts';
import { createCoordinatorTasks } from './coordinator/coordinator-tasks.ts';
import { parseChunkConfig, type ChunkConfig } from './core/chunk-pixels.ts';
import { isOver, nodesOf } from './core/jobs.ts';
import type { BlobStore, Jobs, Records } from './core/ports.ts';
import { createChunkWork } from './leader/chunk-work.ts';
import { createLeader, type Leader } from './leader/leader.ts';
import { unlessObsolete } from './leader/obsolete-tasks.ts';
import { sampleGauges, type EqualizerMetrics } from './metrics.ts';
import { createImageWorkers, type ImageWorkers } from './worker/index.ts';

export interface ComposeOptions {
  settings: EqualizerSettings;
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
  /** Joins the elections. Does not wait for ZooKeeper or Kafka. */
  start(): void;
  /** Announces the node, whose HTTP port is `port`, to its group and to service discovery. */
  announce(port: number): void;
  /** Withdraws the announcement, so that callers choose other nodes. Idempotent. */
  withdraw(): Promise<void>;
  /** Resigns as coordinator, and hands each partition over after its task in flight. Idempotent. */
  handOver(): Promise<void>;
  /** Closes all connections; call it after {@link handOver}. Idempotent. */
  close(): Promise<void>;
}

/** Time that threads have to finish tasks whose results are no longer needed. */
const workersGraceMs = 1_000;

/** @throws MeshError `blob.io`, `blob.no_space` if the folder of blobs cannot be created */
export async function composeNode(options: ComposeOptions): Promise<Node> {
  const { settings, version, log, metrics } = options;
  const stopping = new AbortController();
  const blobs = await openFsBlobs({ folder: settings.blobFolder });
  const zk = openZooKeeper(settings, log);
  const kafka = openKafkaOf(settings, log);
  const workers = openWorkers(settings, log, metrics);
  const records = createRecords({ kafka, log, signal: stopping.signal, ...settings.records });
  const chunks = chunkConfig(zk, settings, log);
  const jobs = createZooKeeperJobs({
    zk,
    root: settings.zookeeper.root,
    onDamaged: (path, issues) => log.error({ event: 'job.unreadable', path, issues }),
  });
  const { leader, coordinator } = rolesOf(options, { zk, records, jobs, blobs, workers, chunks });
  const announcement = createAnnouncement({ settings, version, zk, log });
  addChecks(options.health, { zk, records, coordinator, leader });
  const stopSampling = sampleGauges(metrics, () => workers);
  let handedOver: Promise<void> | undefined;
  let closed: Promise<void> | undefined;
  async function handOver(): Promise<void> {
    // The coordination first: a successor can take over while the last tasks finish here.
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
    jobs,
    blobs,
    workers,
    coordinator,
    leader,
    zk,
    start() {
      zk.start();
      workers.warm();
      chunks.start();
      leader.start();
      coordinator.start();
    },
    announce: (port) => announcement.announce(port),
    withdraw: async () => announcement.withdraw(),
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
  { settings, log, metrics }: ComposeOptions,
  { zk, records, jobs, blobs, workers, chunks }: Resources,
): { leader: Leader; coordinator: Coordinator } {
  const { root } = settings.zookeeper;
  const crash = createCrashHook(parseCrashPlan(settings.crash.point), settings.crash.witnessFile);
  const shared = { zk, records, metrics, log, crash, root, id: settings.nodeName };
  const leader = createLeader({
    ...shared,
    ...settings.leader,
    limits: defaultLeaderLimits,
    work: unlessObsolete({
      blobs,
      log,
      work: createChunkWork({ blobs, workers, metrics, log, crash }),
      isOver: async (id) => hasEnded(zk, jobs, root, id),
    }),
  });
  const tasks = createCoordinatorTasks({
    blobs,
    workers,
    crash,
    limits: settings.images.limits,
    chunkPixelsMax: () => chunks.current.value.chunk_pixels,
  });
  const coordinator = createCoordinator({
    ...shared,
    ...settings.coordinator,
    blobs,
    tasks,
    onElected: (epoch) => leader.coordinatorSeen(epoch),
  });
  return { leader, coordinator };
}

/** Whether the job is over or forgotten. Syncs first, because this node's server may lag behind. */
async function hasEnded(zk: ZooKeeper, jobs: Jobs, root: string, id: string): Promise<boolean> {
  await zk.sync(nodesOf(root).job(id));
  const view = await jobs.read(id);
  return view === undefined || isOver(view.phase);
}

function openWorkers(settings: EqualizerSettings, log: Log, metrics: EqualizerMetrics): ImageWorkers {
  return createImageWorkers({
    ...settings.workers,
    limits: settings.images.limits,
    onCrash: (err) => {
      metrics.workerCrashes.inc();
      log.error({ event: 'worker.crashed', err });
    },
  });
}

function openZooKeeper(settings: EqualizerSettings, log: Log): ZooKeeper {
  const { hosts, sessionTimeoutMs } = settings.zookeeper;
  const zk = new ZooKeeper({
    hosts,
    sessionTimeoutMs,
    auth: [{ scheme: 'digest', secret: adminSecretOf(settings) }],
    onError: (err) => log.error({ event: 'zookeeper.fault', err }),
  });
  zk.onPhase((phase) => log.info({ event: 'zookeeper.phase', phase }));
  return zk;
}

/** The operator's credentials: no other client may write the configuration. */
function adminSecretOf({ secret }: EqualizerSettings): string {
  return `${operatorUser}:${deriveToken(secret, subjects.operator)}`;
}

function openKafkaOf({ nodeName, kafka }: EqualizerSettings, log: Log): KafkaClient {
  const { brokers, callDeadlineMs } = kafka;
  return openKafka({ settings: { brokers, clientId: nodeName, callDeadlineMs }, log });
}

function chunkConfig(zk: ZooKeeper, settings: EqualizerSettings, log: Log): DynamicConfig<ChunkConfig> {
  const chunks = new DynamicConfig<ChunkConfig>(zk, {
    path: nodesOf(settings.zookeeper.root).config,
    parse: parseChunkConfig,
    initial: { chunk_pixels: settings.images.chunkPixels },
    adminSecret: adminSecretOf(settings),
    onFailed: (err) => log.error({ event: 'config.not_followed', code: codeOf(err), err }),
    onRejected: (err) => log.warn({ event: 'config.refused', err }),
  });
  chunks.onChange(({ value: { chunk_pixels }, version }) =>
    log.info({ event: 'config.changed', chunk_pixels, version }),
  );
  return chunks;
}

function addChecks(
  health: Health,
  {
    zk,
    records,
    coordinator,
    leader,
  }: Pick<Resources, 'zk' | 'records'> & Pick<Node, 'coordinator' | 'leader'>,
): void {
  health.add('zookeeper', () => (zk.phase === 'connected' ? undefined : `the session is ${zk.phase}`));
  health.add('kafka', () => records.unhealthyReason());
  health.add('roles', () => coordinator.unhealthyReason() ?? leader.unhealthyReason());
}
