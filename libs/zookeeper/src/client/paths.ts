/** Paths and the names of sequential nodes. Pure. */
import { ZooKeeperError } from '../errors.ts';

/**
 * Returns the path if the server would take it.
 * @throws ZooKeeperError `zookeeper.bad_path`
 */
export function checkPath(path: string): string {
  const fault = pathFault(path);
  if (fault !== undefined)
    throw new ZooKeeperError('zookeeper.bad_path', `${fault}: ${JSON.stringify(path)}`, { path });
  return path;
}

function pathFault(path: string): string | undefined {
  if (!path.startsWith('/')) return 'a path starts with /';
  if (path === '/') return undefined;
  if (path.endsWith('/')) return 'a path does not end with /';
  for (const part of path.slice(1).split('/')) {
    if (part === '') return 'a path has no empty parts';
    if (part === '.' || part === '..') return 'a path is absolute';
  }
  // PathUtils of the server refuses these; a refusal there would close nothing, but say less.
  return /[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]/.test(path)
    ? 'a path has no control or private characters'
    : undefined;
}

export function join(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}

export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut <= 0 ? '/' : path.slice(0, cut);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** All proper ancestors but the root, from the top. */
export function ancestorsOf(path: string): string[] {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

/**
 * The number that the server put behind the name of a sequential node, if the name that was asked for ends in `-`. It is written
 * `%010d`: ten characters, the sign among them.
 */
export function sequenceOf(name: string): number | undefined {
  const digits = /^.*?-(-?[0-9]{9,10})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * Which of two sequence numbers was given out first. The counter is an int32 that wraps to the negative; numbers that are alive
 * together are far less than half of it apart, so the difference, wrapped likewise, has the right sign.
 */
export function compareSequence(left: number, right: number): number {
  return (left - right) | 0;
}
