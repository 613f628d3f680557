/** What went wrong at ZooKeeper, in one line that says what to do. */
import { MeshError } from '@thermomesh/runtime';
import { ZooKeeperError } from '@thermomesh/zookeeper';

/**
 * Calls `work` and puts its failure into words.
 * @param path the node it is about
 */
export async function inWords<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw worded(error, path);
  }
}

/** The error in words, if it is ZooKeeper's. Wrong paths are wrong usage; everything else keeps its code. */
export function worded(error: unknown, path: string): Error {
  if (!(error instanceof ZooKeeperError)) return error instanceof Error ? error : new Error(String(error));
  const usage = ['zookeeper.bad_path', 'zookeeper.bad_arguments'].includes(error.code);
  const unknown =
    error.applied === 'unknown' ? '; whether it was done is not known: look before you repeat it' : '';
  return new MeshError(usage ? 'usage' : error.code, `${wordsOf(error, path)}${unknown}`, {
    cause: error,
    retriable: error.retriable,
  });
}

function wordsOf(error: ZooKeeperError, path: string): string {
  switch (error.code) {
    case 'zookeeper.no_node':
      return `there is no ${path}`;
    case 'zookeeper.node_exists':
      return `${path} is there already: "mesh zk set" changes it`;
    case 'zookeeper.no_auth':
      return `${path} is not open to you: its ACL ("mesh zk stat ${path}") asks for others; --auth says who you are`;
    case 'zookeeper.invalid_acl':
      return `${path}: ZooKeeper does not take this ACL; one of your own needs --auth`;
    case 'zookeeper.no_children_for_ephemerals':
      return `${path} cannot be there: the node above it belongs to a session, and such nodes have no children`;
    case 'zookeeper.not_empty':
      return `${path} has children: --recursive deletes everything below it too`;
    case 'zookeeper.connection_loss':
    case 'zookeeper.session_lost':
    case 'zookeeper.not_connected':
      return `${path}: the connection to ZooKeeper broke`;
    // The others say it themselves.
    default:
      return error.message;
  }
}

/** A version that does not fit: what it is now, and what to do. */
export function wrongVersion(path: string, wanted: number, now: number, verb: 'set' | 'delete'): MeshError {
  return new MeshError(
    'zookeeper.bad_version',
    `${path} is at version ${now} now, not ${wanted}: somebody has changed it since you looked. Nothing was done; look again ("mesh zk get ${path}"), then ${verb} it with --version ${now}`,
  );
}
