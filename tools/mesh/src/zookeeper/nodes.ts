/** What `mesh zk` does with nodes. */
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
import { meshError } from '../errors.ts';
import { showData, showOwner, showStat, type DataFormat } from './data.ts';
import { inWords, notEmpty, worded, wrongVersion } from './error-messages.ts';

export interface TreeOptions {
  depthMax: number;
  nodesMax: number;
}

/** Number of nodes that are requested at once. */
const batchMax = 200;
/** Number of rounds of a recursive delete while other clients write there. */
const deleteRoundsMax = 3;
export const deleteNodesMax = 1_000_000;

export async function getNode(zk: ZooKeeper, path: string, format?: DataFormat): Promise<ZkNodeDocument> {
  const { data, stat } = await inWords(path, async () => zk.getData(path));
  return { path, ...showData(data, path, format), stat: showStat(stat) };
}

/**
 * Reads the stat and the ACL of a node.
 * @throws MeshError `zookeeper.no_node`, …
 */
export async function statNode(zk: ZooKeeper, path: string): Promise<ZkStatDocument> {
  return inWords(path, async () => {
    const stat = await zk.exists(path);
    if (stat === undefined) throw meshError('zookeeper.no_node', `there is no ${path}`);
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

/**
 * Reads the nodes from `path` down, parents before children, up to the limits. Nodes that vanish
 * meanwhile are left out.
 */
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
  if (document.nodes.length === 0) throw meshError('zookeeper.no_node', `there is no ${path}`);
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
  /** Creates missing parents too, open to all. */
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
      throw meshError('zookeeper.no_node', `there is no ${parent} to contain it: --parents creates it`, {
        cause: error,
      });
    }
    throw worded(error, path);
  }
}

/**
 * Replaces the data of a node.
 * @param version the version that the node must have; undefined accepts any
 */
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
      throw meshError('zookeeper.no_node', `there is no ${path}: "mesh zk create ${path}" creates it`, {
        cause: error,
      });
    }
    throw await orWrongVersion(zk, path, version, 'set', error);
  }
}

/**
 * Looks whether a node can be deleted, so that a question about it is not in vain.
 * @throws MeshError `zookeeper.no_node`, `zookeeper.not_empty`, `zookeeper.bad_version`
 */
export async function checkDeletable(
  zk: ZooKeeper,
  path: string,
  version: number | undefined,
): Promise<void> {
  const stat = await inWords(path, async () => zk.exists(path));
  if (stat === undefined) throw meshError('zookeeper.no_node', `there is no ${path}`);
  if (version !== undefined && version !== stat.version)
    throw wrongVersion(path, version, stat.version, 'delete');
  if (stat.children > 0) throw notEmpty(path);
}

/**
 * Deletes one node without children.
 * @throws MeshError `usage`, `zookeeper.bad_version`, `zookeeper.not_empty`, …
 */
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

/**
 * Deletes a node and everything below it, the deepest nodes first; repeats if another client writes
 * there meanwhile. Call planDeletion before: a refusal here comes after some nodes are gone, and
 * says how many.
 */
export async function deleteTree(zk: ZooKeeper, path: string): Promise<ZkChangeDocument> {
  refuseReserved(path);
  let nodes = 0;
  for (let round = 1; ; round += 1) {
    const tree = await readTree(zk, path, { depthMax: Infinity, nodesMax: deleteNodesMax });
    const deepestFirst = tree.nodes.map((node) => node.path).reverse();
    try {
      for (const batch of batches(deepestFirst)) {
        // Counted one by one: a node is deleted even if another one of the batch is refused.
        const deleting = batch.map(async (each) => {
          if (await deleteOne(zk, each)) nodes += 1;
        });
        const refused = (await Promise.allSettled(deleting)).find(({ status }) => status === 'rejected');
        if (refused !== undefined) throw (refused as PromiseRejectedResult).reason as Error;
      }
      return { action: 'delete', path, version: null, nodes };
    } catch (error) {
      if (hasCode(error, 'zookeeper.not_empty') && round < deleteRoundsMax) continue;
      if (hasCode(error, 'zookeeper.not_empty')) {
        throw new MeshError(
          error.code,
          `${nodes} nodes are deleted, but someone goes on writing below ${path}: stop that first`,
          { cause: error },
        );
      }
      if (nodes === 0 || !(error instanceof MeshError)) throw error;
      throw new MeshError(error.code, `${nodes} nodes are deleted; then ${error.message}`, { cause: error });
    }
  }
}

/** Returns false if the node was gone already. A refusal names the node. */
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

/** Refuses ZooKeeper's own nodes, and the root, which contains the nodes of all clients. */
export function refuseReserved(path: string): void {
  if (path === '/' || path === '/zookeeper' || path.startsWith('/zookeeper/')) {
    throw meshError('usage', `${path} is never deleted: name a node of your own`);
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
    // The node was deleted between the two requests.
    return stat === undefined
      ? meshError('zookeeper.no_node', `there is no ${path}`, { cause: error })
      : wrongVersion(path, version, stat.version, verb);
  }
  return worded(error, path);
}

function* batches(items: readonly string[]): Generator<string[]> {
  for (let from = 0; from < items.length; from += batchMax) yield items.slice(from, from + batchMax);
}
