/** The progress of partitions in ZooKeeper, from which the next leader starts. */
import { parsePartitionProgress } from '@thermomesh/contracts';
import { hasCode, type ZooKeeper } from '@thermomesh/zookeeper';
import type { FencedWrites, ProgressStore } from '../core/ports.ts';
import { nodesOf } from '../core/jobs.ts';

export interface ProgressStoreOptions {
  zk: ZooKeeper;
  root: string;
  writes: FencedWrites;
  /** Receives the issues of progress that cannot be parsed. */
  onUnreadable: (partition: number, issues: readonly string[]) => void;
}

/** The progress below `root`, written under the lease of `writes`. */
export function createProgressStore(options: ProgressStoreOptions): ProgressStore {
  const { zk, root, writes, onUnreadable } = options;
  const nodes = nodesOf(root);
  return {
    async read(partition) {
      const path = nodes.partitionProgress(partition);
      try {
        const [, { data }] = await writes.read(async () => Promise.all([zk.sync(path), zk.getData(path)]));
        const parsed = parsePartitionProgress(data);
        if ('record' in parsed) return parsed.record;
        // The leader repeats everything that the topic still holds: more work, the same result.
        onUnreadable(partition, parsed.issues);
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
      }
      return null;
    },
    save: async (partition, progress) =>
      writes.put(nodes.partitionProgress(partition), Buffer.from(JSON.stringify(progress))),
  };
}
