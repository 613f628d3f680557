/** The reads that a watch repeats: a node that is missing is watched for its creation. */
import { hasCode } from '../errors.ts';
import type { NodeChildren, NodeData, Stat, Watcher } from './types.ts';
import type { Read } from './watch.ts';

/** The requests of the client that these reads make. */
interface Reader {
  getData(path: string, watch: Watcher): Promise<NodeData>;
  getChildren(path: string, watch: Watcher): Promise<NodeChildren>;
  exists(path: string, watch: Watcher): Promise<Stat | undefined>;
}

/** Reads the data of a node. */
export function readsData(zk: Reader, path: string): Read<NodeData | undefined> {
  return orMissing(zk, path, async (changed) => zk.getData(path, changed));
}

/** Reads the names of the children of a node. */
export function readsChildren(zk: Reader, path: string): Read<NodeChildren | undefined> {
  return orMissing(zk, path, async (changed) => zk.getChildren(path, changed));
}

function orMissing<T>(zk: Reader, path: string, read: (changed: Watcher) => Promise<T>): Read<T | undefined> {
  return async (changed) => {
    try {
      return { value: await read(changed) };
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node')) throw error;
      // The node may exist by now; then the watch is on a node that must be read again.
      return (await zk.exists(path, changed)) === undefined ? { value: undefined } : undefined;
    }
  };
}
