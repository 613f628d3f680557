/**
 * Shared parts of the integration tests: a mesh of nodes in this process and in child processes, on
 * real servers.
 */
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { operatorUser, type JobParameters } from '@thermomesh/contracts';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import type { TestKafka } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { hasCode, ZooKeeper } from '@thermomesh/zookeeper';
import { openFsBlobs } from './adapters/fs-blobs.ts';
import { createZooKeeperJobs } from './adapters/zookeeper-jobs.ts';
import { readEqualizerConfig, settingsOf } from './config.ts';
import { isOver, nodesOf, type JobView } from './core/jobs.ts';
import type { BlobStore, Jobs } from './core/ports.ts';
import { createService, type EqualizerService } from './service.ts';

export const meshSecret = 'the mesh secret, at least thirty-two characters';
/** Credentials that may publish configuration. */
export const adminSecret = `${operatorUser}:${deriveToken(meshSecret, subjects.operator)}`;
/** Tick of the test servers; a short tick allows short sessions. */
export const testTickTimeMs = 100;
const partitions = 4;
const deadlineMs = 60_000;
/** How long tests wait for a condition of a whole mesh. */
export const meshPatience = { timeoutMs: deadlineMs, pollMs: 20 };

/** A node in a process of its own. */
export interface ChildNode {
  readonly pid: number;
  readonly url: string;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  end(): Promise<void>;
}

type Settings = Record<string, string>;
let meshes = 0;

/**
 * Opens a mesh with znodes, topics and a folder of its own on the servers of a test.
 * @param settings settings of every node
 */
export async function openTestMesh(servers: TestKafka, settings: Settings = {}): Promise<TestMesh> {
  const name = `mesh${process.pid}-${meshes++}`;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-equalizer-'));
  const blobs = await openFsBlobs({ folder: path.join(folder, 'blobs') });
  const auth = [{ scheme: 'digest' as const, secret: adminSecret }];
  const zk = new ZooKeeper({ hosts: servers.zookeeper.hosts, sessionTimeoutMs: 4_000, auth });
  zk.start();
  await zk.whenConnected({ timeoutMs: deadlineMs });
  const mesh = new TestMesh({ name, folder, blobs, zk, servers, settings });
  await zk.ensurePath(nodesOf(mesh.root).jobs);
  return mesh;
}

interface Place {
  name: string;
  folder: string;
  blobs: BlobStore;
  /** A client that belongs to no node. */
  zk: ZooKeeper;
  servers: TestKafka;
  settings: Settings;
}

export class TestMesh {
  readonly root: string;
  readonly folder: string;
  readonly blobs: BlobStore;
  readonly zk: ZooKeeper;
  readonly jobs: Jobs;
  readonly #place: Place;
  readonly #nodes: EqualizerService[] = [];
  readonly #children: ChildNode[] = [];

  constructor(place: Place) {
    this.#place = place;
    this.root = `/${place.name}/equalizer`;
    this.folder = place.folder;
    this.blobs = place.blobs;
    this.zk = place.zk;
    this.jobs = createZooKeeperJobs({ zk: place.zk, root: this.root });
  }

  /** Starts a node in this process. */
  async start(nodeId: number): Promise<EqualizerService> {
    const config = readEqualizerConfig(this.#env(nodeId));
    const service = await createService(
      settingsOf(config),
      createLog(`equalizer-${nodeId}`, config.LOG_LEVEL),
    );
    this.#nodes.push(service);
    await service.start();
    return service;
  }

  /** Starts a node as a process of its own. */
  async fork(nodeId: number, settings: Settings): Promise<ChildNode> {
    const env = { ...this.#env(nodeId), ...settings };
    const child = fork(path.resolve(import.meta.dirname, 'main.ts'), { env });
    const exited = once(child, 'exit');
    const end = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    const node = { pid: child.pid ?? 0, url: '', ended: exited.then(() => undefined), end };
    this.#children.push(node);
    const [message] = (await Promise.race([once(child, 'message'), exited])) as [
      { httpPort?: number } | null,
    ];
    if (message?.httpPort === undefined) throw new Error('a node did not start');
    return Object.assign(node, { url: `http://127.0.0.1:${message.httpPort}` });
  }

  /** Accepts a job as a node does. @returns its id */
  async submit(image: Buffer, parameters: JobParameters = {}, caller = 'key:ann'): Promise<string> {
    const id = randomUUID();
    const input = `jobs/${id}/input-1`;
    await this.blobs.createFromStream(input, Readable.from([image]), { bytesMax: 1e9 });
    await this.jobs.accept({ id, caller, input, parameters, fileName: 'a.png', submittedAtMs: Date.now() });
    return id;
  }

  /** Waits for a view of the job for which `holds` is true. */
  async until(id: string, holds: (view: JobView) => boolean): Promise<JobView> {
    let last: JobView | undefined;
    for await (last of this.jobs.follow(id, AbortSignal.timeout(deadlineMs))) if (holds(last)) return last;
    throw new Error(`job ${id} is ${last?.phase ?? 'gone'}: ${last?.reason ?? ''}`);
  }

  /** Waits until the job is over. */
  async over(id: string): Promise<JobView> {
    return this.until(id, ({ phase }) => isOver(phase));
  }

  /** Waits for a coordinator. @returns the name of its node */
  async coordinator(): Promise<string> {
    const path = nodesOf(this.root).coordinator;
    const numberOf = (name: string) => Number(name.slice(-10));
    let first: string | undefined;
    await until(
      'a node coordinates',
      async () => {
        const { names } = await this.zk.getChildren(path).catch(() => ({ names: [] as string[] }));
        [first] = names.sort((a, b) => numberOf(a) - numberOf(b));
        return first !== undefined;
      },
      meshPatience,
    );
    const { data } = await this.zk.getData(`${path}/${first}`);
    return (JSON.parse(String(data)) as { id: string }).id;
  }

  /** Waits until every partition has a leader among these nodes, and each node leads. */
  async settled(...names: string[]): Promise<void> {
    await until(
      `the partitions are led by ${names.join(', ')}`,
      async () => {
        const all = Array.from({ length: partitions }, async (_, partition) => this.#ownerOf(partition));
        const owners = await Promise.all(all);
        return names.every((one) => owners.includes(one)) && owners.every((one) => names.includes(one ?? ''));
      },
      meshPatience,
    );
  }

  async remove(): Promise<void> {
    const nodes = this.#nodes.map(async (node) => node.stop());
    await Promise.all([...nodes, ...this.#children.map(async (child) => child.end())]);
    await this.zk.deleteTree(`/${this.#place.name}`);
    await this.zk.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #env(nodeId: number): Settings {
    const { name, folder, servers, settings } = this.#place;
    return {
      NODE_ID: String(nodeId),
      MESH_SECRET: meshSecret,
      ZOOKEEPER_HOSTS: servers.zookeeper.hosts,
      ZOOKEEPER_PATH: this.root,
      SERVICES_PATH: `/${name}/services`,
      SESSION_TIMEOUT_MS: '1500',
      KAFKA_BROKERS: servers.brokers,
      KAFKA_TOPIC_PREFIX: name,
      TASK_PARTITIONS: String(partitions),
      BLOB_DIR: path.join(folder, 'blobs'),
      HTTP_PORT: '0',
      CHUNK_PIXELS: '2000',
      LOG_LEVEL: 'silent',
      ...settings,
    };
  }

  async #ownerOf(partition: number): Promise<string | undefined> {
    try {
      const { data } = await this.zk.getData(`${nodesOf(this.root).partitions}/owners/${partition}`);
      return (JSON.parse(String(data)) as { content: { id: string } }).content.id;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }
}
