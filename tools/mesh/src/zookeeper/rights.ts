/** Checks whether a whole tree may be deleted, before the first node of it is. */
import {
  digestOf,
  hasCode,
  parentOf,
  type AclEntry,
  type Credentials,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';
import { readTree } from './nodes.ts';

/** Number of ACLs that are requested at once. */
const batchMax = 200;

/** The nodes that a recursive delete would remove, parents before children. */
export interface Deletion {
  path: string;
  paths: string[];
  /** How many of them belong to the session of a running process. */
  ofSessions: number;
}

/**
 * Reads the tree at `path` and checks every ACL that decides about its nodes. ZooKeeper checks the
 * right to delete a node at its parent.
 * @param nodesMax maximum number of nodes
 * @throws MeshError `zookeeper.no_auth` that names the node which refuses; nothing is deleted
 */
export async function planDeletion(
  zk: ZooKeeper,
  path: string,
  credentials: Credentials | undefined,
  nodesMax: number,
): Promise<Deletion> {
  const tree = await readTree(zk, path, { depthMax: Infinity, nodesMax });
  if (!tree.complete)
    throw meshError('usage', `${path} has more than ${nodesMax} nodes: delete its branches one by one`);
  const parents = new Set(tree.nodes.map((node) => parentOf(node.path)));
  // Without the right to read a node, its children cannot be listed.
  const hidden = tree.nodes.filter(({ children }) => children === null).map((node) => node.path);
  const deciding = [...parents, ...hidden];
  for (let from = 0; from < deciding.length; from += batchMax) {
    const batch = deciding.slice(from, from + batchMax);
    const open = await Promise.all(batch.map(async (each) => mayDeleteBelow(zk, each, credentials)));
    const refusing = batch.find((_, index) => open[index] === false);
    if (refusing !== undefined) throw refusedAt(refusing, path, tree.nodes.length);
  }
  return {
    path,
    paths: tree.nodes.map((node) => node.path),
    ofSessions: tree.nodes.filter(({ ephemeralOwner }) => ephemeralOwner !== null).length,
  };
}

/** Whether the ACL of a node lets this client delete its children; true if the node is gone. */
async function mayDeleteBelow(
  zk: ZooKeeper,
  path: string,
  credentials: Credentials | undefined,
): Promise<boolean> {
  try {
    return isDeletable((await zk.getAcl(path)).acl, credentials);
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return true;
    if (hasCode(error, 'zookeeper.no_auth')) return false;
    throw error;
  }
}

/**
 * Whether an ACL may let the holder of `credentials` delete children. Entries by address or
 * certificate are decided by the server, so they count as open here.
 */
export function isDeletable(acl: readonly AclEntry[], credentials: Credentials | undefined): boolean {
  if (credentials?.secret.startsWith('super:') === true) return true;
  return acl.some(({ permissions, scheme, id }) => {
    if (!permissions.includes('delete')) return false;
    if (scheme === 'digest') return credentials !== undefined && id === digestOf(credentials.secret);
    return true;
  });
}

function refusedAt(refusing: string, path: string, nodes: number): Error {
  return meshError(
    'zookeeper.no_auth',
    `nothing was deleted: ${refusing} stops it, because its ACL ("mesh zk stat ${refusing}") does not let you ` +
      `delete what is below it (${path} has ${nodes} ${nodes === 1 ? 'node' : 'nodes'}); --auth names your credentials`,
  );
}
