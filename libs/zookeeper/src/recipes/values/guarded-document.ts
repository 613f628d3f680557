/** A document that only the holder of a secret can write, from its first moment on. */
import { permissionBits, readableAcl } from '../../client/acl.ts';
import { join, parentOf } from '../../client/paths.ts';
import type { AclEntry, Operation } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';

/**
 * The path of the document that belongs to the folder `path`. The document has a folder of its own
 * because the ACL of the parent decides who may delete a node.
 */
export const documentPath = (path: string) => join(path, 'value');

export interface GuardOptions {
  /** The path of the document's folder, which is the `path` of its `DynamicConfig`. */
  path: string;
  /** `user:password` of the only one who may write. */
  adminSecret: string;
  /**
   * The content that the document gets if this call creates it. Default: none, which a
   * `DynamicConfig` takes for "nothing is published".
   */
  content?: Buffer;
}

/**
 * Makes sure that only the holder of the secret can have written the document, and can write it
 * from now on. If folder and document do not have the right ACLs, one transaction deletes them and
 * creates both again, because their content may come from anyone. The client needs the secret only
 * if something has to be created. Starts again whenever another client changes the nodes meanwhile.
 * @returns false if the nodes belong to someone else and cannot be deleted
 */
export async function guardDocument(
  zk: ZooKeeper,
  { path, adminSecret, content }: GuardOptions,
): Promise<boolean> {
  const acl = readableAcl(adminSecret);
  const document = documentPath(path);
  const make: Operation[] = [
    { type: 'create', path, acl },
    { type: 'create', path: document, acl, ...(content === undefined ? {} : { data: content }) },
  ];
  for (;;) {
    // The ancestors are open to every client.
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
        // The holder deleted the document and kept the folder: only the holder can create the next
        // document in it.
        return isGuarded && documentAcl === undefined;
      }
      // Several clients start at the same time, and another one was faster.
      if (!hasCode(error, 'zookeeper.no_node', 'zookeeper.node_exists')) throw error;
    }
  }
}

/**
 * The ACL of a node; undefined if there is no such node. An ACL that this client may not read
 * counts as empty, and so as different from ours.
 */
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
