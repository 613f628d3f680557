/**
 * Fenced writes: only the holder of a lease can make them, because each transaction also checks
 * that the lease's node (its seat) exists.
 */
import { hasCode, isRetriable, type Lease, type Operation, type ZooKeeper } from '@thermomesh/zookeeper';
import { DeposedError } from '../core/errors.ts';
import type { FencedWrites } from '../core/ports.ts';

/** Fenced writes under `lease`; they stop by themselves when the lease is over. */
export function fencedWrites(zk: ZooKeeper, lease: Lease): FencedWrites {
  async function mayAct(): Promise<void> {
    while (!lease.held) {
      if (lease.signal.aborted) throw new DeposedError(lease, lease.signal.reason);
      const changed = Promise.withResolvers<void>();
      const stop = lease.onHeld(() => changed.resolve());
      // The lease may have been confirmed between the check and the subscription.
      if (!lease.held) await Promise.race([changed.promise, lease.ended]);
      stop();
    }
  }
  async function seatIsGone(): Promise<boolean> {
    const [, stat] = await Promise.all([zk.sync(lease.path), zk.exists(lease.path)]);
    return stat?.czxid !== lease.epoch;
  }
  async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      await mayAct();
      try {
        return await call();
      } catch (error) {
        if (!isRetriable(error)) throw error;
        await zk.pauseAfter(error);
      }
    }
  }
  const write = async (operations: readonly Operation[]): Promise<boolean> =>
    untilAnswered(async () => {
      try {
        await zk.multi([{ type: 'check', path: lease.path, version: -1 }, ...operations]);
        return true;
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
        if (await seatIsGone()) throw new DeposedError(lease, error);
        return false;
      }
    });
  return {
    lease,
    mayAct,
    write,
    read: untilAnswered,
    async put(path, data) {
      while (!(await write([{ type: 'set', path, data }]))) {
        try {
          if (await write([{ type: 'create', path, data }])) return;
          await zk.ensurePath(path.slice(0, path.lastIndexOf('/')));
        } catch (error) {
          // An earlier create succeeded, but its answer was lost.
          if (!hasCode(error, 'zookeeper.node_exists')) throw error;
        }
      }
    },
    async remove(path) {
      await write([{ type: 'delete', path }]);
    },
  };
}
