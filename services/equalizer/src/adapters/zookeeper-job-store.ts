/** The coordinator's side of the jobs in ZooKeeper: reads what was accepted, writes what it has decided, under its seat. */
import {
  hasCode,
  type NodeChildren,
  type Operation,
  type Watch,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import { nodesOf, parseJobDocument, type JobDocument, type JobProgress } from '../core/jobs.ts';
import type { FencedWrites } from './fenced-writes.ts';

/** A job as it lies there. */
export interface StoredJob {
  readonly id: string;
  /** The transaction that accepted it: grows from job to job. */
  readonly number: number;
  /** Unix ms, by the clock of the ZooKeeper server that wrote it. */
  readonly writtenAtMs: number;
  readonly document: JobDocument;
}

/** The port of a coordinator to its jobs. Every write waits for an answer and throws `DeposedError` where the fence refuses it. */
export interface JobStore {
  /** All jobs, in the order of their acceptance, as they are after every write that was made before. */
  readAll(): Promise<StoredJob[]>;
  /** Undefined if there is none (any more), or if it cannot be read. */
  read(id: string): Promise<StoredJob | undefined>;
  store(document: JobDocument): Promise<void>;
  /** The job and what belongs to it. */
  remove(id: string): Promise<void>;
  /** For watchers; the last one wins. */
  saveProgress(id: string, progress: JobProgress): Promise<void>;
  endCancellation(id: string): Promise<void>;
  /** What {@link saveMarks} has written; null if nothing. */
  readMarks(): Promise<Uint8Array | null>;
  /** Where a successor begins to read the topics. */
  saveMarks(marks: unknown): Promise<void>;
  /** The ids of all jobs, as they come. */
  watchJobs(listener: (ids: readonly string[]) => void): Promise<Following>;
  /** The ids of jobs whose end somebody asks for. */
  watchCancellations(listener: (ids: readonly string[]) => void): Promise<Following>;
}

export interface Following {
  close(): Promise<void>;
}

export interface JobStoreOptions {
  zk: ZooKeeper;
  root: string;
  writes: FencedWrites;
  /** The document of a job makes no sense. */
  onUnreadable: (id: string, faults: readonly string[]) => void;
}

/** The jobs below `root`, for the coordinator that holds the lease of `writes`. */
export function createJobStore({ zk, root, writes, onUnreadable }: JobStoreOptions): JobStore {
  const nodes = nodesOf(root);
  const marksPath = `${root}/recovery`;
  async function read(id: string): Promise<StoredJob | undefined> {
    try {
      const { data, stat } = await writes.read(async () => zk.getData(nodes.job(id)));
      const parsed = parseJobDocument(data);
      const written = { number: Number(stat.czxid), writtenAtMs: stat.modifiedAtMs };
      if ('record' in parsed) return { id, ...written, document: parsed.record };
      onUnreadable(id, parsed.faults);
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node')) throw error;
    }
    return undefined;
  }
  async function follow(path: string, listener: (ids: readonly string[]) => void): Promise<Following> {
    await writes.read(async () => zk.ensurePath(path));
    const watch: Watch<NodeChildren | undefined> = zk.watchChildren(path);
    watch.subscribe((children) => listener(children?.names ?? []));
    return watch;
  }
  async function ids(): Promise<readonly string[]> {
    const [, { names }] = await writes.read(async () =>
      Promise.all([zk.sync(nodes.jobs), zk.getChildren(nodes.jobs)]),
    );
    return names;
  }
  return {
    read,
    async readAll() {
      for (const path of [nodes.jobs, nodes.progressOfJobs])
        await writes.read(async () => zk.ensurePath(path));
      const names = await ids();
      const jobs: StoredJob[] = [];
      for (let from = 0; from < names.length; from += readsAtOnce) {
        const some = names.slice(from, from + readsAtOnce);
        for (const job of await Promise.all(some.map(read))) if (job !== undefined) jobs.push(job);
      }
      return jobs.sort((a, b) => a.number - b.number);
    },
    store: async (document) => writes.put(nodes.job(document.submission.id), encode(document)),
    async remove(id) {
      await writes.remove(nodes.job(id));
      await writes.remove(nodes.jobProgress(id));
      await writes.remove(nodes.cancellation(id));
    },
    async saveProgress(id, progress) {
      const path = nodes.jobProgress(id);
      // Not for a job that is forgotten: nobody would remove it again.
      const job: Operation = { type: 'check', path: nodes.job(id), version: -1 };
      const data = encode(progress);
      if (await writes.write([job, { type: 'set', path, data }])) return;
      await writes.write([job, { type: 'create', path, data }]).catch((error: unknown) => {
        // A create whose answer was lost.
        if (!hasCode(error, 'zookeeper.node_exists')) throw error;
      });
    },
    endCancellation: async (id) => writes.remove(nodes.cancellation(id)),
    async readMarks() {
      try {
        return (await writes.read(async () => zk.getData(marksPath))).data;
      } catch (error) {
        if (hasCode(error, 'zookeeper.no_node')) return null;
        throw error;
      }
    },
    saveMarks: async (marks) => writes.put(marksPath, Buffer.from(JSON.stringify(marks))),
    watchJobs: async (listener) => follow(nodes.jobs, listener),
    watchCancellations: async (listener) => follow(nodes.cancellations, listener),
  };
}

const readsAtOnce = 100;

function encode(document: JobDocument | JobProgress): Buffer {
  return Buffer.from(JSON.stringify(document));
}
