/** What `mesh zk` does to nodes. */
import type { ZkChangeDocument, ZkNodeDocument, ZkStatDocument, ZkTreeDocument } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import {
  hasCode,
  join,
  parentOf,
  type AclEntry,
  type NodeChildren,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import { showData, showOwner, showStat, type DataFormat } from './data.ts';
import { inWords, worded, wrongVersion } from './faults.ts';

export interface TreeOptions {
  depthMax: number;
  nodesMax: number;
}

/** How many nodes are asked for at once. */
const batchMax = 200;
/** Rounds of a recursive delete while others go on writing there. */
const deleteRoundsMax = 3;
const deleteNodesMax = 1_000_000;

export async function getNode(zk: ZooKeeper, path: string, format?: DataFormat): Promise<ZkNodeDocument> {
  const { data, stat } = await inWords(path, async () => zk.getData(path));
  return { path, ...showData(data, path, format), stat: showStat(stat) };
}

/** @throws MeshError `zookeeper.no_node`, … */
export async function statNode(zk: ZooKeeper, path: string): Promise<ZkStatDocument> {
  return inWords(path, async () => {
    const stat = await zk.exists(path);
    if (stat === undefined) throw new MeshError('zookeeper.no_node', `there is no ${path}`);
    const acl = await zk.getAcl(path).catch((error: unknown) => {
      if (hasCode(error, 'zookeeper.no_auth')) return undefined;
      throw error;
    });
    return {
      path,
      stat: showStat(stat),
      acl:
        acl?.acl.map(({ scheme, id, permissions }) => ({ scheme, id, permissions: [...permissions] })) ??
        null,
    };
  });
}

/** Everything from `path` down, parents before children, as far as the limits allow. What vanishes meanwhile is left out. */
export async function readTree(zk: ZooKeeper, path: string, limits: TreeOptions): Promise<ZkTreeDocument> {
  const document: ZkTreeDocument = { path, nodes: [], complete: true };
  let level = [path];
  for (let depth = 0; level.length > 0; depth += 1) {
    const room = limits.nodesMax - document.nodes.length;
    if (depth > limits.depthMax || room <= 0) return { ...document, complete: false };
    if (level.length > room) document.complete = false;
    const next: string[] = [];
    for (const batch of batches(level.slice(0, room))) {
      const read = await Promise.all(batch.map(async (each) => readTreeNode(zk, each)));
      for (const found of read) {
        if (found === undefined) continue;
        document.nodes.push(found.node);
        next.push(...found.names.map((name) => join(found.node.path, name)));
      }
    }
    if (!document.complete) return document;
    level = next;
  }
  if (document.nodes.length === 0) throw new MeshError('zookeeper.no_node', `there is no ${path}`);
  return document;
}

async function readTreeNode(
  zk: ZooKeeper,
  path: string,
): Promise<{ node: ZkTreeDocument['nodes'][number]; names: string[] } | undefined> {
  const closed = { path, version: null, dataBytes: null, children: null, ephemeralOwner: null };
  const read = await inWords(path, async () => zk.getChildren(path).catch(unreadable));
  if (read === 'gone') return undefined;
  if (read === 'closed') return { node: closed, names: [] };
  const { names, stat } = read;
  const { version, dataBytes } = stat;
  const children = names.length;
  return { node: { path, version, dataBytes, children, ephemeralOwner: showOwner(stat) }, names };
}

function unreadable(error: unknown): NodeChildren | 'gone' | 'closed' {
  if (hasCode(error, 'zookeeper.no_node')) return 'gone';
  if (hasCode(error, 'zookeeper.no_auth')) return 'closed';
  throw error;
}

export interface CreateNodeOptions {
  data: Buffer;
  acl: readonly AclEntry[];
  sequential: boolean;
  /** Makes the nodes above it, open to everybody, as far as they are missing. */
  parents: boolean;
}

export async function createNode(
  zk: ZooKeeper,
  path: string,
  { data, acl, sequential, parents }: CreateNodeOptions,
): Promise<ZkChangeDocument> {
  const parent = parentOf(path);
  if (parents) await inWords(parent, async () => zk.ensurePath(parent));
  const mode = sequential ? 'persistent-sequential' : 'persistent';
  try {
    const made = await zk.create(path, data, { mode, acl });
    return { action: 'create', path: made, version: 0, nodes: 1 };
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) {
      throw new MeshError(error.code, `there is no ${parent} to hold it: --parents makes it`, {
        cause: error,
      });
    }
    throw worded(error, path);
  }
}

/** @param version what it must be at now; undefined: whatever it is at */
export async function setNode(
  zk: ZooKeeper,
  path: string,
  data: Buffer,
  version: number | undefined,
): Promise<ZkChangeDocument> {
  try {
    const stat = await zk.setData(path, data, version);
    return { action: 'set', path, version: stat.version, nodes: 1 };
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) {
      throw new MeshError(error.code, `there is no ${path}: "mesh zk create ${path}" makes it`, {
        cause: error,
      });
    }
    throw await orWrongVersion(zk, path, version, 'set', error);
  }
}

/** One node without children. @throws MeshError `usage`, `zookeeper.bad_version`, `zookeeper.not_empty`, … */
export async function deleteNode(
  zk: ZooKeeper,
  path: string,
  version: number | undefined,
): Promise<ZkChangeDocument> {
  refuseReserved(path);
  try {
    await zk.delete(path, version);
    return { action: 'delete', path, version: null, nodes: 1 };
  } catch (error) {
    throw await orWrongVersion(zk, path, version, 'delete', error);
  }
}

/** A node and everything below it, the deepest first; another look if somebody writes there meanwhile. */
export async function deleteTree(zk: ZooKeeper, path: string): Promise<ZkChangeDocument> {
  refuseReserved(path);
  let nodes = 0;
  for (let round = 1; ; round += 1) {
    const tree = await readTree(zk, path, { depthMax: Infinity, nodesMax: deleteNodesMax });
    const deepestFirst = tree.nodes.map((node) => node.path).reverse();
    try {
      for (const batch of batches(deepestFirst)) {
        // Counted one by one: what was deleted is deleted, though another one of the batch is refused.
        const deleting = batch.map(async (each) => {
          if (await deleteOne(zk, each)) nodes += 1;
        });
        const refused = (await Promise.allSettled(deleting)).find(({ status }) => status === 'rejected');
        if (refused !== undefined) throw (refused as PromiseRejectedResult).reason;
      }
      return { action: 'delete', path, version: null, nodes };
    } catch (error) {
      if (hasCode(error, 'zookeeper.not_empty') && round < deleteRoundsMax) continue;
      if (hasCode(error, 'zookeeper.not_empty')) {
        throw new MeshError(
          error.code,
          `${nodes} nodes are deleted, but somebody goes on writing below ${path}: stop that first`,
          { cause: error },
        );
      }
      throw error;
    }
  }
}

/** False if it was gone already. Refusals name their own node. */
async function deleteOne(zk: ZooKeeper, path: string): Promise<boolean> {
  try {
    await zk.delete(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return false;
    if (hasCode(error, 'zookeeper.not_empty')) throw error;
    throw worded(error, path);
  }
}

/** ZooKeeper's own nodes, and the root, which holds everybody's. */
function refuseReserved(path: string): void {
  if (path === '/' || path === '/zookeeper' || path.startsWith('/zookeeper/')) {
    throw new MeshError('usage', `${path} is never deleted: name the node that is yours`);
  }
}

async function orWrongVersion(
  zk: ZooKeeper,
  path: string,
  version: number | undefined,
  verb: 'set' | 'delete',
  error: unknown,
): Promise<Error> {
  if (version !== undefined && hasCode(error, 'zookeeper.bad_version')) {
    const stat = await inWords(path, async () => zk.exists(path));
    // Deleted between the two: then that is the answer.
    return stat === undefined
      ? new MeshError('zookeeper.no_node', `there is no ${path}`, { cause: error })
      : wrongVersion(path, version, stat.version, verb);
  }
  return worded(error, path);
}

function* batches(items: readonly string[]): Generator<string[]> {
  for (let from = 0; from < items.length; from += batchMax) yield items.slice(from, from + batchMax);
}
