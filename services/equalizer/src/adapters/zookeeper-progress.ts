/** Where the next leader of a partition begins, in ZooKeeper: written under the partition's seat. */
import { parsePartitionProgress, type PartitionProgress } from '@thermomesh/contracts';
import { hasCode, type ZooKeeper } from '@thermomesh/zookeeper';
import { nodesOf } from '../core/jobs.ts';
import type { FencedWrites } from './fenced-writes.ts';

/** The port of a partition's leader to its state. Both wait for an answer; `DeposedError` where the fence refuses. */
export interface ProgressStore {
  /** Null if nobody has led the partition yet. */
  read(partition: number): Promise<PartitionProgress | null>;
  save(partition: number, progress: PartitionProgress): Promise<void>;
}

export interface ProgressStoreOptions {
  zk: ZooKeeper;
  root: string;
  writes: FencedWrites;
  onUnreadable: (partition: number, faults: readonly string[]) => void;
}

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
        // Done again from what the topic still holds: more work, the same result.
        onUnreadable(partition, parsed.faults);
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
      }
      return null;
    },
    save: async (partition, progress) =>
      writes.put(nodes.partitionProgress(partition), Buffer.from(JSON.stringify(progress))),
  };
}
