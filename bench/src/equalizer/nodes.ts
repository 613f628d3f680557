/** Equalizer nodes on the bench's own ZooKeeper and Kafka, and jobs through them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import path from 'node:path';
import { createEqualizerClient, type EqualizerClient } from '@thermomesh/equalizer-client';
import { createApiKey } from '@thermomesh/runtime';
import { startEnsemble, startKafkaCluster } from '@thermomesh/servers';
import { benchError } from '../errors.ts';
import { startProgram, type RunningProgram } from '../parts/child.ts';
import type { Scope } from '../parts/scope.ts';

export interface Brokers {
  zookeeperHosts: string;
  kafkaBrokers: string;
}

/** Starts one ZooKeeper server and one Kafka broker, with the settings of the mesh. */
export async function startBrokers(scope: Scope, folder: string): Promise<Brokers> {
  const own = { endWithParent: true, scratchFolder: folder };
  const zookeeper = await startEnsemble({ ...own, servers: 1, dataDir: path.join(folder, 'zookeeper') });
  scope.onEnd(async () => zookeeper.stop());
  const kafka = await startKafkaCluster({
    ...own,
    brokers: 1,
    zookeeperHosts: zookeeper.hosts,
    dataDir: path.join(folder, 'kafka'),
  });
  scope.onEnd(async () => kafka.stop());
  return { zookeeperHosts: zookeeper.hosts, kafkaBrokers: kafka.brokers };
}

export interface NodesOptions extends Brokers {
  scope: Scope;
  folder: string;
  secret: string;
  /** Number of nodes; each works on one image task at a time. */
  count: number;
  chunkPixels: number;
  profileDir: string | undefined;
}

/** Nodes that share topics, znodes and blobs. */
export interface Nodes {
  count: number;
  programs: readonly RunningProgram[];
  client: EqualizerClient;
  /** Resets the peak memory of each node. */
  resetPeaks(): void;
  /**
   * Highest peak memory of any node since then, in MiB; null where the system does not report it.
   */
  peakMiB(): number | null;
  /**
   * Highest memory of any idle node, in MiB: started completely, with its image threads, and
   * without work.
   */
  restingMiB(): Promise<number | null>;
  stop(): Promise<void>;
}

/** Starts nodes with their own topics, znodes and blobs. */
export async function startNodes(options: NodesOptions): Promise<Nodes> {
  const { folder, count } = options;
  const name = `nodes-${count}`;
  const own = path.join(folder, name);
  await mkdir(path.join(own, 'blobs'), { recursive: true });
  const keysFile = path.join(own, 'keys.json');
  const { key: apiKey } = await createApiKey(keysFile, ['images']);
  const programs = await Promise.all(
    Array.from({ length: count }, async (_, index) =>
      startNode(options, { own, name, keysFile, id: index + 1 }),
    ),
  );
  const urls = programs.map(({ ready }) => `http://127.0.0.1:${Number(ready['httpPort'])}`);
  return {
    count,
    programs,
    client: createEqualizerClient({ urls, apiKey }),
    resetPeaks: () => {
      for (const { pid } of programs) resetPeak(pid);
    },
    peakMiB: () => mostOf(programs, 'VmHWM'),
    restingMiB: async () => resting(programs),
    stop: async () => {
      await Promise.all(programs.map(async (program) => program.stop()));
    },
  };
}

interface Place {
  own: string;
  name: string;
  keysFile: string;
  id: number;
}

async function startNode(options: NodesOptions, { own, name, keysFile, id }: Place): Promise<RunningProgram> {
  const { zookeeperHosts, kafkaBrokers, secret, chunkPixels, profileDir } = options;
  return startProgram(options.scope, {
    name: `equalizer-${id}`,
    script: 'services/equalizer/src/main.ts',
    logFile: path.join(own, `equalizer-${id}.log`),
    nodeWords: [
      '--disable-warning=TimeoutNegativeWarning',
      ...(profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]),
    ],
    graceful: true,
    env: {
      NODE_ID: String(id),
      MESH_SECRET: secret,
      ZOOKEEPER_HOSTS: zookeeperHosts,
      ZOOKEEPER_PATH: `/bench/${name}`,
      SERVICES_PATH: `/bench/${name}-services`,
      KAFKA_BROKERS: kafkaBrokers,
      KAFKA_TOPIC_PREFIX: name,
      BLOB_DIR: path.join(own, 'blobs'),
      HTTP_PORT: '0',
      API_KEYS_FILE: keysFile,
      UPLOAD_BYTES_MAX: String(2 ** 31),
      CHUNK_PIXELS: String(chunkPixels),
      WORKER_THREADS: '1',
      JOB_RETENTION_MS: '5000',
      // So that freed memory goes back to the system: glibc would keep an arena for every thread.
      MALLOC_ARENA_MAX: '2',
      LOG_LEVEL: 'warn',
    },
  });
}

/** Times of one job. */
export interface JobRun {
  /** From the first byte of the upload to its 201. */
  uploadSeconds: number;
  /** From the 201 to the final event. */
  jobSeconds: number;
  /** From the final event to the last byte of the result on disk. */
  downloadSeconds: number;
}

/** Runs one image through the mesh into `out`. @throws MeshError `bench.job_failed` */
export async function runJob(nodes: Nodes, file: string, out: string): Promise<JobRun> {
  const started = performance.now();
  const { id } = await nodes.client.submit({ file, fields: { definition: 'vips' } });
  const accepted = performance.now();
  const { phase, reason } = await nodes.client.finished(id);
  const finished = performance.now();
  if (phase !== 'finished') throw benchError('bench.job_failed', `the job is ${phase}: ${reason ?? ''}`);
  await nodes.client.download(id, out);
  const seconds = (from: number, to: number): number => (to - from) / 1000;
  return {
    uploadSeconds: seconds(started, accepted),
    jobSeconds: seconds(accepted, finished),
    downloadSeconds: seconds(finished, performance.now()),
  };
}

const memoryField = (pid: number, field: string): number | null => {
  try {
    const kiB = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(
      readFileSync(`/proc/${pid}/status`, 'utf8'),
    )?.[1];
    return kiB === undefined ? null : Math.round(Number(kiB) / 1024);
  } catch {
    // There is no /proc, or the process has ended: the report has no memory.
    return null;
  }
};

function mostOf(programs: readonly RunningProgram[], field: 'VmHWM' | 'VmRSS'): number | null {
  const found = programs.map(({ pid }) => memoryField(pid, field));
  return found.includes(null) ? null : Math.max(...found.map(Number));
}

/**
 * Memory of idle nodes. Threads load their libraries for some seconds after a node is ready, so it
 * is idle when its memory has stopped growing.
 */
async function resting(programs: readonly RunningProgram[]): Promise<number | null> {
  const [stepMs, stepsAtRest, stepsMax] = [250, 12, 120];
  let highest = mostOf(programs, 'VmRSS');
  for (let step = 0, still = 0; step < stepsMax && still < stepsAtRest && highest !== null; step++) {
    await delay(stepMs);
    const now = mostOf(programs, 'VmRSS');
    still = now !== null && now <= highest ? still + 1 : 0;
    highest = now === null ? null : Math.max(highest, now);
  }
  return highest;
}

/** On Linux, writing 5 sets the peak back to what is resident now (proc(5)). */
function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Without a reset the peak is that of the whole life of the process, which is no smaller.
  }
}
