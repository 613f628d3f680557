/** Paths and the names of sequential nodes. Pure. */
import { ZooKeeperError } from '../errors.ts';

/**
 * Returns the path if the server would take it.
 * @throws ZooKeeperError `zookeeper.bad_path`
 */
export function checkPath(path: string): string {
  const issue = issueOf(path);
  if (issue !== undefined)
    throw new ZooKeeperError('zookeeper.bad_path', `${issue}: ${JSON.stringify(path)}`, { path });
  return path;
}

function issueOf(path: string): string | undefined {
  if (!path.startsWith('/')) return 'a path must start with /';
  if (path === '/') return undefined;
  if (path.endsWith('/')) return 'a path must not end with /';
  for (const part of path.slice(1).split('/')) {
    if (part === '') return 'a path must not have empty parts';
    if (part === '.' || part === '..') return 'a path must be absolute';
  }
  // PathUtils of the server rejects these characters too, but with a less helpful message.
  return /[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]/.test(path)
    ? 'a path must not have control or private-use characters'
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

/** All proper ancestors except the root, from the top. */
export function ancestorsOf(path: string): string[] {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

/**
 * The number that the server appended to the name of a sequential node, if the requested name ends
 * in `-`. The server writes it as `%010d`: ten characters, including the sign.
 */
export function sequenceOf(name: string): number | undefined {
  const digits = /^.*?-(-?[0-9]{9,10})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * Compares two sequence numbers by which one the server gave out first. The counter is an int32
 * that wraps to negative numbers. Numbers in use at the same time differ by far less than half of
 * its range, so the difference, wrapped likewise, has the right sign.
 */
export function compareSequence(left: number, right: number): number {
  return (left - right) | 0;
}
