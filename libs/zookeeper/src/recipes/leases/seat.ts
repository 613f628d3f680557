/** Draws a ticket. A create whose answer may be lost must be neither done twice nor forgotten. */
import { randomUUID } from 'node:crypto';
import { join, nameOf } from '../../client/paths.ts';
import type { SessionHandle } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, mayHaveHappened } from '../../errors.ts';
import { connectedOr, ensureBeforeRetry, undoStray } from './attempts.ts';
import { deleteOwned, type OwnedNode } from './lease.ts';
import { ticketPrefix, ticketsIn } from './tickets.ts';

/** A place in a queue that this session owns. */
export interface Seat extends OwnedNode {
  name: string;
}

export interface SeatOptions {
  /** The node of the queue; created if it is missing. */
  directory: string;
  /** Lower-case letters. */
  kind: string;
  data: Buffer;
  signal: AbortSignal;
}

/**
 * Draws a ticket. The GUID in its name settles a create whose answer was lost: after the reconnect
 * this looks for the ticket and adopts it if this session owns it. A ticket of an older session
 * will be deleted soon and is never adopted.
 * @throws ZooKeeperError that is not retriable; the signal's reason
 */
export async function takeSeat(zk: ZooKeeper, options: SeatOptions): Promise<Seat> {
  const { directory, kind, data, signal } = options;
  let guid = randomUUID();
  let drawnIn: SessionHandle | undefined;
  for (;;) {
    const session = await connectedOr(zk, signal, () => {
      // No caller waits on this ticket any more. If it stayed, it would block all tickets behind
      // it.
      if (drawnIn !== undefined) void releaseStray(zk, directory, guid, drawnIn);
    });
    try {
      if (drawnIn === session) {
        const found = await findSeat(zk, directory, guid, session);
        if (found !== undefined) return found;
      } else if (drawnIn !== undefined) {
        // A ticket of the lost session does not belong to us any more; a new GUID keeps the two
        // apart.
        guid = randomUUID();
      }
      drawnIn = undefined;
      const path = await zk.create(join(directory, ticketPrefix(kind, guid)), data, {
        mode: 'ephemeral-sequential',
      });
      drawnIn = session;
      const seat = await ownedSeat(zk, path, session);
      if (seat !== undefined) return seat;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) {
        await ensureBeforeRetry(zk, directory);
        continue;
      }
      if (mayHaveHappened(error)) drawnIn = session;
      await zk.pauseAfter(error);
    }
  }
}

/**
 * Looks for the ticket after a sync: what has not reached the servers by now will not happen,
 * because the session has moved.
 */
async function findSeat(
  zk: ZooKeeper,
  directory: string,
  guid: string,
  session: SessionHandle,
): Promise<Seat | undefined> {
  const [, { names }] = await Promise.all([zk.sync(directory), zk.getChildren(directory)]);
  for (const ticket of ticketsIn(names)) {
    if (ticket.guid !== guid) continue;
    const seat = await ownedSeat(zk, join(directory, ticket.name), session);
    if (seat !== undefined) return seat;
  }
  return undefined;
}

/** Deletes the ticket of a caller that has left while its answer was lost. Never rejects. */
async function releaseStray(
  zk: ZooKeeper,
  directory: string,
  guid: string,
  session: SessionHandle,
): Promise<void> {
  await undoStray(zk, session, async () => {
    const found = await findSeat(zk, directory, guid, session);
    if (found !== undefined) await deleteOwned(zk, found);
  });
}

async function ownedSeat(zk: ZooKeeper, path: string, session: SessionHandle): Promise<Seat | undefined> {
  const stat = await zk.exists(path);
  if (stat?.ephemeralOwner !== session.id) return undefined;
  return { path, name: nameOf(path), epoch: stat.czxid, session };
}
