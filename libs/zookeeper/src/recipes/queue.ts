/** Waiting for one's turn without a herd: each waiter watches the one ticket that keeps it waiting. */
import { join } from '../client/paths.ts';
import type { SessionHandle, WatchEvent } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { deleteOwned, NodeLease } from './lease.ts';
import { orAborted } from './recipe.ts';
import { takeSeat, type Seat } from './seat.ts';
import { standingOf, type Blocks } from './tickets.ts';

export interface QueueOptions {
  directory: string;
  kind: string;
  data: Buffer;
  blocks: Blocks;
  /** Leaves the queue. */
  signal: AbortSignal;
  onSeat?: (seat: Seat) => void;
  /** A watch is set, and nothing will be asked before it fires. */
  onRest?: () => void;
  /** Woken by the watch on the blocker, or by a break. */
  onWake?: (event: WatchEvent) => void;
}

/**
 * Draws a ticket and waits until nobody blocks it. A lost session puts one at the end of the queue again.
 * @throws ZooKeeperError that is not retriable; the signal's reason. The ticket is given back then.
 */
export async function waitForTurn(zk: ZooKeeper, options: QueueOptions): Promise<NodeLease> {
  const { signal } = options;
  for (;;) {
    const seat = await takeSeat(zk, options);
    options.onSeat?.(seat);
    try {
      const lease = await sit(zk, options, seat);
      if (lease !== undefined) {
        if (!signal.aborted) return lease;
        await lease.release();
      }
      signal.throwIfAborted();
    } catch (error) {
      await deleteOwned(zk, seat);
      throw error;
    }
    await deleteOwned(zk, seat);
  }
}

/** Undefined if the seat is gone. */
async function sit(zk: ZooKeeper, options: QueueOptions, seat: Seat): Promise<NodeLease | undefined> {
  const { directory, blocks, signal } = options;
  for (;;) {
    // A seat belongs to its session: with another one there is nothing to go back to.
    if ((await zk.whenConnected({ signal })) !== seat.session) return undefined;
    try {
      const { names } = await zk.getChildren(directory);
      const standing = standingOf(names, seat.name, blocks);
      if (standing === undefined) return undefined;
      for (const stray of standing.strays) await removeStray(zk, join(directory, stray.name), seat.session);
      if (standing.blocker === undefined) return await NodeLease.confirm(zk, seat);
      const event = Promise.withResolvers<WatchEvent>();
      // The blocker may have vanished since the names were read: then nothing would ever fire.
      const stat = await zk.exists(join(directory, standing.blocker.name), event.resolve);
      if (stat === undefined) continue;
      options.onRest?.();
      const fired = await orAborted(event.promise, signal);
      options.onWake?.(fired);
    } catch (error) {
      signal.throwIfAborted();
      await zk.pauseAfter(error);
    }
  }
}

async function removeStray(zk: ZooKeeper, path: string, session: SessionHandle): Promise<void> {
  if ((await zk.exists(path))?.ephemeralOwner === session.id) await deleteOwned(zk, { path, session });
}
