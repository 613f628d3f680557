/** Waits in a queue without a herd: each waiter watches only the one ticket that blocks it. */
import { join } from '../../client/paths.ts';
import type { SessionHandle } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { waitForEvent, type WaitingListener } from './attempts.ts';
import { deleteOwned, NodeLease } from './lease.ts';
import { takeSeat, type Seat } from './seat.ts';
import { positionOf, type Blocks } from './tickets.ts';

export interface QueueOptions extends WaitingListener {
  directory: string;
  kind: string;
  data: Buffer;
  blocks: Blocks;
  /** Leaves the queue when it aborts. */
  signal: AbortSignal;
  onSeat?: (seat: Seat) => void;
}

/**
 * Draws a ticket and waits until no other ticket blocks it. After a lost session it draws a new
 * ticket at the end of the queue.
 * @throws ZooKeeperError that is not retriable; the signal's reason. The ticket is deleted then.
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

/** Waits on a seat for its turn; returns undefined if the seat is gone. */
async function sit(zk: ZooKeeper, options: QueueOptions, seat: Seat): Promise<NodeLease | undefined> {
  const { directory, blocks, signal } = options;
  for (;;) {
    // A seat belongs to its session: after a new session it is gone.
    if ((await zk.whenConnected({ signal })) !== seat.session) return undefined;
    try {
      const { names } = await zk.getChildren(directory);
      const mine = positionOf(names, seat.name, blocks);
      if (mine === undefined) return undefined;
      for (const stray of mine.strays) await removeStray(zk, join(directory, stray.name), seat.session);
      if (mine.blocker === undefined) return await NodeLease.confirm(zk, seat);
      // The blocker may have disappeared since the names were read.
      await waitForEvent(zk, join(directory, mine.blocker.name), options);
    } catch (error) {
      signal.throwIfAborted();
      // The whole directory was deleted, and the seat with it: the next seat makes it again.
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      await zk.pauseAfter(error);
    }
  }
}

async function removeStray(zk: ZooKeeper, path: string, session: SessionHandle): Promise<void> {
  if ((await zk.exists(path))?.ephemeralOwner === session.id) await deleteOwned(zk, { path, session });
}
