/** Drawing a ticket: a create whose answer may be lost must neither be done twice nor be forgotten. */
import { randomUUID } from 'node:crypto';
import { join, nameOf } from '../client/paths.ts';
import type { SessionHandle } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, isRetriable, type ZooKeeperError } from '../errors.ts';
import { deleteOwned, type OwnedNode } from './lease.ts';
import { ticketPrefix, ticketsIn } from './tickets.ts';

/** A place in a queue that this session owns. */
export interface Seat extends OwnedNode {
  name: string;
}

export interface SeatOptions {
  /** The queue; made if it is missing. */
  directory: string;
  /** Small letters. */
  kind: string;
  data: Buffer;
  signal: AbortSignal;
}

/**
 * Draws a ticket. The GUID in its name settles a create whose answer was lost: after the reconnect the ticket is looked for, and
 * adopted if this session owns it; one that an older session owns is dying and never adopted.
 * @throws ZooKeeperError that is not retriable; the signal's reason
 */
export async function takeSeat(zk: ZooKeeper, options: SeatOptions): Promise<Seat> {
  const { directory, kind, data, signal } = options;
  let guid = randomUUID();
  let drawnIn: SessionHandle | undefined;
  for (;;) {
    const session = await zk.whenConnected({ signal }).catch((error: unknown) => {
      // Nobody will sit there; left alone, the ticket would keep everybody behind it waiting.
      if (drawnIn !== undefined) void giveBack(zk, directory, guid, drawnIn);
      throw error;
    });
    try {
      if (drawnIn === session) {
        const found = await findSeat(zk, directory, guid, session);
        if (found !== undefined) return found;
      } else if (drawnIn !== undefined) {
        // What the lost session drew is not ours any more; a new name keeps the two apart.
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
        await zk.ensurePath(directory).catch(async (fault: unknown) => zk.pauseAfter(fault));
        continue;
      }
      if (mayHaveHappened(error)) drawnIn = session;
      await zk.pauseAfter(error);
    }
  }
}

function mayHaveHappened(error: unknown): error is ZooKeeperError {
  return isRetriable(error) && error.applied === 'unknown';
}

/** After a sync: what the servers have not heard of by now will not happen any more, because the session has moved. */
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

/** Never rejects. */
async function giveBack(
  zk: ZooKeeper,
  directory: string,
  guid: string,
  session: SessionHandle,
): Promise<void> {
  while (zk.session === session) {
    try {
      await zk.whenConnected();
      const found = await findSeat(zk, directory, guid, session);
      if (found !== undefined) await deleteOwned(zk, found);
      return;
    } catch (error) {
      if (
        !(await zk.pauseAfter(error).then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  }
}

async function ownedSeat(zk: ZooKeeper, path: string, session: SessionHandle): Promise<Seat | undefined> {
  const stat = await zk.exists(path);
  if (stat?.ephemeralOwner !== session.id) return undefined;
  return { path, name: nameOf(path), epoch: stat.czxid, session };
}
