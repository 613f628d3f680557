/**
 * Starts real servers and equalizer nodes for one test file. A test can kill, freeze and inspect
 * each node, and compares the images of jobs with those of a single process.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ImageJob } from '@thermomesh/contracts';
import { createEqualizerClient, type EqualizerClient } from '@thermomesh/equalizer-client';
import { equalizerProcess, makeSamples, readMeshConfig, until, type Sample } from '@thermomesh/mesh/testing';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { testKafka, type TestKafka } from '@thermomesh/servers';
import { LeaderElection, ZooKeeper } from '@thermomesh/zookeeper';
import { waitMs } from './support.ts';

const secret = 'the secret of this mesh alone, of thirty-two characters or more';
const { root: repository, environment } = readMeshConfig();
/** Short, so that a session ends soon after its owner. */
const tickTimeMs = 100;
const sessionTimeoutMs = 1_000;
/** Images are small and have many chunks, because these tests are about the protocol. */
const sidePixels = 220;
const chunkPixels = 4_000;

/** One equalizer node. */
export interface EqualizerNode {
  readonly name: string;
  readonly url: string;
  readonly child: ChildProcess;
  /** Resolves when the process has ended, for any reason. */
  readonly ended: Promise<void>;
  log(): string;
  /** The sum of a metric over its label sets that match. */
  metric(name: string, label?: RegExp): Promise<number>;
}

/** Servers and nodes of one test file. */
export interface Rig {
  readonly servers: TestKafka;
  readonly topicPrefix: string;
  readonly blobDir: string;
  readonly samples: readonly Sample[];
  /** Starts a node and waits until it listens. */
  start(id: number, env?: Record<string, string>): Promise<EqualizerNode>;
  /** The nodes that run now. */
  nodes(): EqualizerNode[];
  /** Names of the candidates for coordinator; the coordinator is the first. */
  queue(): Promise<string[]>;
  /** Waits until that node coordinates. */
  untilCoordinates(node: EqualizerNode): Promise<void>;
  /** Waits until that node leads a partition. */
  untilLeads(node: EqualizerNode): Promise<void>;
  /** Stops a node gracefully. */
  stop(node: EqualizerNode): Promise<void>;
  /**
   * A client of the nodes that run now.
   * @param first the node that it asks first
   */
  client(first?: EqualizerNode): EqualizerClient;
  /** The path of a temporary file. */
  file(name: string): string;
  remove(): Promise<void>;
}

/**
 * Starts the servers, without any equalizer node.
 * @param size number of ZooKeeper servers, and of Kafka brokers
 */
export async function openRig(size: 1 | 3 = 1): Promise<Rig> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-equalizer-'));
  const blobDir = path.join(folder, 'blobs');
  mkdirSync(blobDir);
  const [servers, samples] = await Promise.all([
    testKafka({ brokers: size, zookeeper: { servers: size, tickTimeMs } }),
    makeSamples(readMeshConfig(), path.join(folder, 'samples'), sidePixels),
  ]);
  const zk = new ZooKeeper({ hosts: servers.zookeeper.hosts });
  zk.start();
  await zk.whenConnected({ timeoutMs: waitMs });
  const zkRoot = '/e2e/equalizer';
  const running = new Set<EqualizerNode>();
  const queue = async () => {
    const election = new LeaderElection(zk, { path: `${zkRoot}/coordinator`, id: 'onlooker' });
    return (await zk.retry(async () => election.candidates(), { timeoutMs: waitMs })).map(({ id }) => id);
  };
  const rig: Rig = {
    servers,
    blobDir,
    samples,
    topicPrefix: 'equalizer',
    queue,
    async start(id, env = {}) {
      const name = `equalizer-${id}`;
      const node = await startNode(name, path.join(folder, `${name}.log`), {
        ...environmentOf(servers, zkRoot, blobDir),
        NODE_ID: String(id),
        ...env,
      });
      running.add(node);
      void node.ended.then(() => running.delete(node));
      return node;
    },
    nodes: () => [...running],
    ...waits,
    async stop(node) {
      node.child.kill('SIGTERM');
      await node.ended;
    },
    client(first) {
      const urls = [...(first === undefined ? [] : [first]), ...running].map(({ url }) => url);
      return createEqualizerClient({
        urls: [...new Set(urls)],
        apiKey: deriveToken(secret, subjects.operator),
        // Short, so that the client soon tries another node when one is frozen.
        requestTimeoutMs: 2_000,
        silenceTimeoutMs: 15_000,
      });
    },
    file: (name) => path.join(folder, name),
    async remove() {
      for (const { child } of running) child.kill('SIGKILL');
      await Promise.all([...running].map(async ({ ended }) => ended));
      await zk.close();
      await servers.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return rig;
}

const waits: Pick<Rig, 'untilCoordinates' | 'untilLeads'> = {
  async untilCoordinates(node) {
    await until({ what: `${node.name} to coordinate`, timeoutMs: waitMs }, async () =>
      node.log().includes('"event":"coordinator.recovered"'),
    );
  },
  async untilLeads(node) {
    await until(
      { what: `${node.name} to lead a partition`, timeoutMs: waitMs },
      async () => (await node.metric('equalizer_leading_partitions')) > 0,
    );
  },
};

/** The settings that all nodes share. */
function environmentOf(servers: TestKafka, zkRoot: string, blobDir: string): Record<string, string> {
  return {
    MESH_SECRET: secret,
    ZOOKEEPER_HOSTS: servers.zookeeper.hosts,
    ZOOKEEPER_PATH: zkRoot,
    SERVICES_PATH: '/e2e/services',
    SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
    KAFKA_BROKERS: servers.brokers,
    TASK_PARTITIONS: '4',
    BLOB_DIR: blobDir,
    HTTP_PORT: '0',
    CHUNK_PIXELS: String(chunkPixels),
    WORKER_THREADS: '1',
    ...equalizerProcess(environment),
  };
}

async function startNode(name: string, logFile: string, env: Record<string, string>): Promise<EqualizerNode> {
  const log = openSync(logFile, 'a');
  const script = path.join(repository, 'services/equalizer/src/main.ts');
  const child = spawn(process.execPath, [script], {
    env: { ...environment, ...env },
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.on('message', ({ httpPort }: { httpPort: number }) => resolve(httpPort));
    void ended.then(() => reject(new Error(`${name} ended at once: ${readFileSync(logFile, 'utf8')}`)));
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    name,
    url,
    child,
    ended,
    log: () => readFileSync(logFile, 'utf8'),
    async metric(wanted, label = /./) {
      const text = await fetch(`${url}/metrics`, {
        headers: { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` },
      }).then(async (answer) => answer.text());
      return text
        .split('\n')
        .filter(
          (line) =>
            line.startsWith(`thermomesh_${wanted} `) ||
            (line.startsWith(`thermomesh_${wanted}{`) && label.test(line)),
        )
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
  };
}

/** Returns the sample image of this kind. */
export function sample(rig: Rig, kind: string): Sample {
  const found = rig.samples.find((each) => each.kind === kind);
  assert.ok(found, `there is no sample ${kind}`);
  return found;
}

/** Submits the sample and follows its job; `phases` lists every phase that was seen, in order. */
export async function submit(
  client: EqualizerClient,
  { file, fields }: Sample,
): Promise<{ id: string; over: Promise<{ last: ImageJob; phases: string[] }> }> {
  const { id } = await client.submit({ file, fields });
  const follow = async () => {
    const phases: string[] = [];
    let last: ImageJob | undefined;
    for await (const job of client.follow(id)) {
      if (job.phase !== last?.phase) phases.push(job.phase);
      last = job;
    }
    assert.ok(last, `job ${id} has no state`);
    return { last, phases };
  };
  const over = follow();
  // A test that awaits `over` still gets its rejection.
  over.catch(() => undefined);
  return { id, over };
}

/** Asserts that the job is finished and its image has the bytes of a single process (I4, I5). */
export async function assertIdentical(
  rig: Rig,
  client: EqualizerClient,
  job: Pick<ImageJob, 'id' | 'phase' | 'reason'>,
  { kind, expected }: Sample,
): Promise<void> {
  assert.equal(job.phase, 'finished', `${kind}: ${job.reason ?? ''}`);
  const out = rig.file(`${job.id}.out`);
  await client.download(job.id, out);
  assert.ok(readFileSync(out).equals(readFileSync(expected)), `${kind} differs from one process alone`);
}

/**
 * Submits a sample, waits for its job and compares the image.
 * @returns ms from the 201 to the final event
 */
export async function equalized(rig: Rig, client: EqualizerClient, which: Sample): Promise<number> {
  const { over } = await submit(client, which);
  const startedAt = performance.now();
  const { last } = await over;
  const tookMs = performance.now() - startedAt;
  await assertIdentical(rig, client, last, which);
  return tookMs;
}

/** Names of the files that a job has now. */
export function filesOf(rig: Rig, id: string): string[] {
  const folder = path.join(rig.blobDir, 'jobs', id);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}
