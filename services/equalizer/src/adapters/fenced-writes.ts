/** Writes that only the holder of a lease can make: each in a transaction that also checks its seat. */
import { MeshError } from '@thermomesh/runtime';
import { hasCode, isRetriable, type Lease, type Operation, type ZooKeeper } from '@thermomesh/zookeeper';

/** The seat is gone, or the lease is over: somebody else may act by now. Nothing was written. */
export class DeposedError extends MeshError {
  constructor(lease: Lease, cause?: unknown) {
    super('equalizer.deposed', `the seat ${lease.path} of epoch ${lease.epoch} is gone`, { cause });
    this.name = 'DeposedError';
  }
}

/** What may act under a lease. */
export interface FencedWrites {
  readonly lease: Lease;
  /** Returns when it may act; waits while it is suspended. @throws DeposedError */
  mayAct(): Promise<void>;
  /**
   * Writes, all of it or nothing, and only with the seat; again and again until there is an answer.
   * @returns false if a node that an operation needs is missing while the seat stands
   * @throws DeposedError
   */
  write(operations: readonly Operation[]): Promise<boolean>;
  /** Makes the node say that, whether it exists or not. @throws DeposedError */
  put(path: string, data: Buffer): Promise<void>;
  /** @throws DeposedError */
  remove(path: string): Promise<void>;
  /** Reads until there is an answer. @throws DeposedError */
  read<T>(call: () => Promise<T>): Promise<T>;
}

/** The writes of this lease, to which nobody has to tell that it is over. */
export function fencedWrites(zk: ZooKeeper, lease: Lease): FencedWrites {
  async function mayAct(): Promise<void> {
    while (!lease.held) {
      if (lease.signal.aborted) throw new DeposedError(lease, lease.signal.reason);
      const changed = Promise.withResolvers<void>();
      const stop = lease.onHeld(() => changed.resolve());
      // Between the look and the listening it may have been confirmed.
      if (!lease.held) await Promise.race([changed.promise, lease.ended]);
      stop();
    }
  }
  async function seatIsGone(): Promise<boolean> {
    const [, stat] = await Promise.all([zk.sync(lease.path), zk.exists(lease.path)]);
    return stat?.czxid !== lease.epoch;
  }
  async function until<T>(call: () => Promise<T>): Promise<T> {
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
    until(async () => {
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
    read: until,
    async put(path, data) {
      while (!(await write([{ type: 'set', path, data }]))) {
        try {
          if (await write([{ type: 'create', path, data }])) return;
          await zk.ensurePath(path.slice(0, path.lastIndexOf('/')));
        } catch (error) {
          // A create whose answer was lost.
          if (!hasCode(error, 'zookeeper.node_exists')) throw error;
        }
      }
    },
    async remove(path) {
      await write([{ type: 'delete', path }]);
    },
  };
}
