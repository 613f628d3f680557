/** A document that only one writes, from its first moment on. */
import {
  hasCode,
  parentOf,
  permissionBits,
  readableAcl,
  type AclEntry,
  type ZooKeeper,
} from '@thermomesh/zookeeper';

/** The document of `DynamicConfig` at `path`. */
const documentOf = (path: string) => `${path}/value`;
/** Names nothing, so nothing holds but what held before. */
const empty = Buffer.from('{}');
const attemptsMax = 10;

/**
 * Sees to it that the document of the `DynamicConfig` at `path` can be changed and deleted by the holder of the secret alone: makes it,
 * empty, if it is not there, in one transaction with its ACL. What others may delete is made anew: nobody knows who wrote it.
 * @param zk a client that holds the secret
 * @returns false if it belongs to somebody else
 */
export async function guardDocument(zk: ZooKeeper, path: string, adminSecret: string): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await tryGuard(zk, path, adminSecret);
    } catch (error) {
      // Several nodes start at once, and one was faster.
      const moved = hasCode(error, 'zookeeper.no_node', 'zookeeper.node_exists');
      if (!moved || attempt === attemptsMax) throw error;
    }
  }
}

async function tryGuard(zk: ZooKeeper, path: string, adminSecret: string): Promise<boolean> {
  const acl = readableAcl(adminSecret);
  const make = [
    { type: 'create', path, acl },
    { type: 'create', path: documentOf(path), data: empty, acl },
  ] as const;
  await zk.ensurePath(parentOf(path));
  try {
    await zk.multi([...make]);
    return true;
  } catch (error) {
    if (!hasCode(error, 'zookeeper.node_exists')) throw error;
  }
  const [place, document] = await Promise.all([aclOf(zk, path), aclOf(zk, documentOf(path))]);
  if (isSame(place, acl) && isSame(document, acl)) return true;
  try {
    const remove = { type: 'delete', path } as const;
    const removeDocument = { type: 'delete', path: documentOf(path) } as const;
    await zk.multi([...(document === undefined ? [] : [removeDocument]), remove, ...make]);
    return true;
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_auth', 'zookeeper.not_empty')) return false;
    throw error;
  }
}

/** Undefined if there is no such node. Whoever may not even read its ACL gets none: it is nobody's whom we know. */
async function aclOf(zk: ZooKeeper, path: string): Promise<readonly AclEntry[] | undefined> {
  try {
    return (await zk.getAcl(path)).acl;
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return undefined;
    if (hasCode(error, 'zookeeper.no_auth')) return [];
    throw error;
  }
}

function isSame(one: readonly AclEntry[] | undefined, other: readonly AclEntry[]): boolean {
  const words = (acl: readonly AclEntry[]) =>
    acl.map(({ scheme, id, permissions }) => `${scheme}:${id}:${permissionBits(permissions)}`).toSorted();
  return one !== undefined && words(one).join(' ') === words(other).join(' ');
}
