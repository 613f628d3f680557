/** A document that only the holder of a secret writes, from its first moment on. */
import { permissionBits, readableAcl } from '../client/acl.ts';
import { join, parentOf } from '../client/paths.ts';
import type { AclEntry, Operation } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode } from '../errors.ts';

/** Where the document at `path` is: below a folder of its own, since who may delete a node is decided one level up. */
export const documentPath = (path: string) => join(path, 'value');

/**
 * Sees to it that nobody but the holder of the secret can have written the document, and can from now on: makes it, without content, in
 * one transaction with its folder and the rights to both. Whoever calls it need not be able to write it. What others may delete is
 * deleted and made anew: nobody knows who wrote it.
 * @returns false if it belongs to somebody else
 */
export async function guardDocument(zk: ZooKeeper, path: string, adminSecret: string): Promise<boolean> {
  const acl = readableAcl(adminSecret);
  const document = documentPath(path);
  const make: Operation[] = [
    { type: 'create', path, acl },
    { type: 'create', path: document, acl },
  ];
  for (;;) {
    // What is above belongs to everybody.
    await zk.ensurePath(parentOf(path));
    await zk.sync(path);
    const [folderAcl, documentAcl] = await Promise.all([aclOf(zk, path), aclOf(zk, document)]);
    const isGuarded = folderAcl !== undefined && isSame(folderAcl, acl);
    if (isGuarded && documentAcl !== undefined && isSame(documentAcl, acl)) return true;
    const remove = [documentAcl && document, folderAcl && path]
      .filter((each) => each !== undefined)
      .map((each): Operation => ({ type: 'delete', path: each }));
    try {
      await zk.multi([...remove, ...make]);
      return true;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_auth', 'zookeeper.not_empty')) {
        // A folder that is the holder's, and whose document the holder has deleted: nobody else can make the next one.
        return isGuarded && documentAcl === undefined;
      }
      // Several start at once, and one was faster.
      if (!hasCode(error, 'zookeeper.no_node', 'zookeeper.node_exists')) throw error;
    }
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

function isSame(one: readonly AclEntry[], other: readonly AclEntry[]): boolean {
  const words = (acl: readonly AclEntry[]) =>
    acl.map(({ scheme, id, permissions }) => `${scheme}:${id}:${permissionBits(permissions)}`).toSorted();
  return words(one).join(' ') === words(other).join(' ');
}
