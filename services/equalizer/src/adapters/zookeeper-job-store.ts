/**
 * Jobs in ZooKeeper as the coordinator uses them: reads accepted jobs, and writes its decisions
 * under its lease.
 */
import {
  hasCode,
  type NodeChildren,
  type Operation,
  type Watch,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import type { FencedWrites, Following, JobStore, StoredJob } from '../core/ports.ts';
import { nodesOf, parseJobDocument, type JobDocument, type JobProgress } from '../core/jobs.ts';

export interface JobStoreOptions {
  zk: ZooKeeper;
  root: string;
  writes: FencedWrites;
  /** Receives the issues of a job document that cannot be parsed. */
  onUnreadable: (id: string, issues: readonly string[]) => void;
}

/** The jobs below `root`, for the coordinator with the lease of `writes`. */
export function createJobStore({ zk, root, writes, onUnreadable }: JobStoreOptions): JobStore {
  const nodes = nodesOf(root);
  const readOffsetsPath = `${root}/recovery`;
  async function read(id: string): Promise<StoredJob | undefined> {
    try {
      const { data, stat } = await writes.read(async () => zk.getData(nodes.job(id)));
      const parsed = parseJobDocument(data);
      const written = { number: Number(stat.czxid), writtenAtMs: stat.modifiedAtMs };
      if ('record' in parsed) return { id, ...written, document: parsed.record };
      onUnreadable(id, parsed.issues);
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
      // Not for a forgotten job, because its progress would never be removed.
      const job: Operation = { type: 'check', path: nodes.job(id), version: -1 };
      const data = encode(progress);
      if (await writes.write([job, { type: 'set', path, data }])) return;
      await writes.write([job, { type: 'create', path, data }]).catch((error: unknown) => {
        // An earlier create succeeded, but its answer was lost.
        if (!hasCode(error, 'zookeeper.node_exists')) throw error;
      });
    },
    endCancellation: async (id) => writes.remove(nodes.cancellation(id)),
    async loadReadOffsets() {
      try {
        return (await writes.read(async () => zk.getData(readOffsetsPath))).data;
      } catch (error) {
        if (hasCode(error, 'zookeeper.no_node')) return null;
        throw error;
      }
    },
    saveReadOffsets: async (offsets) => writes.put(readOffsetsPath, Buffer.from(JSON.stringify(offsets))),
    watchJobs: async (listener) => follow(nodes.jobs, listener),
    watchCancellations: async (listener) => follow(nodes.cancellations, listener),
  };
}

const readsAtOnce = 100;

function encode(document: JobDocument | JobProgress): Buffer {
  return Buffer.from(JSON.stringify(document));
}
