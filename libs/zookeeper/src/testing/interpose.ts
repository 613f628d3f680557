/** Runs code between the calls of a client. */
import type { ZooKeeper } from '../client/zookeeper.ts';

const names = ['create', 'exists', 'getChildren', 'getData', 'sync', 'delete'] as const;
export type CallName = (typeof names)[number];

/**
 * Calls `before` before each of these calls of the client.
 * @param before gets the name of the call, its index among all calls (from 0) and the path
 * @returns a function that ends it
 */
export function interpose(
  zk: ZooKeeper,
  before: (name: CallName, index: number, path: string) => Promise<void>,
): () => void {
  const own = zk as unknown as Record<string, unknown>;
  let calls = 0;
  for (const name of names) {
    const call = zk[name].bind(zk) as (...args: unknown[]) => Promise<unknown>;
    own[name] = async (...args: unknown[]) => {
      calls += 1;
      await before(name, calls - 1, String(args[0]));
      return call(...args);
    };
  }
  return () => {
    for (const name of names) delete own[name];
  };
}
