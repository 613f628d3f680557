/** Error messages about ZooKeeper, each in one line that names what to do. */
import { MeshError } from '@thermomesh/runtime';
import { ZooKeeperError } from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';

/**
 * Calls `work`, and gives its error a message about the node.
 * @param path path of the node
 */
export async function inWords<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw worded(error, path);
  }
}

/**
 * The error with a readable message, if it is ZooKeeper's. Invalid paths are wrong usage; every
 * other error keeps its code.
 */
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
      return `${path} exists already: "mesh zk set" changes it`;
    case 'zookeeper.no_auth':
      return `${path} is not open to you: its ACL ("mesh zk stat ${path}") is for others; --auth names your credentials`;
    case 'zookeeper.invalid_acl':
      return `${path}: ZooKeeper does not accept this ACL; an ACL of your own needs --auth`;
    case 'zookeeper.no_children_for_ephemerals':
      return `${path} cannot be created: its parent belongs to a session, and such nodes have no children`;
    case 'zookeeper.not_empty':
      return notEmptyText(path);
    case 'zookeeper.connection_loss':
    case 'zookeeper.session_lost':
    case 'zookeeper.not_connected':
      return `${path}: the connection to ZooKeeper broke`;
    // The other messages are readable already.
    default:
      return error.message;
  }
}

/** The error of a version that does not match: the present version, and what to do. */
export function wrongVersion(path: string, wanted: number, now: number, verb: 'set' | 'delete'): MeshError {
  return meshError(
    'zookeeper.bad_version',
    `${path} is at version ${now} now, not ${wanted}: someone has changed it since you looked. Nothing was done; look again ("mesh zk get ${path}"), then ${verb} it with --version ${now}`,
  );
}

/** The error of a node that has children. */
export function notEmpty(path: string): MeshError {
  return meshError('zookeeper.not_empty', notEmptyText(path));
}

function notEmptyText(path: string): string {
  return `${path} has children: --recursive deletes everything below it too`;
}
