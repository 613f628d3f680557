/** One named ephemeral node that one session at a time may own: create, or watch whoever has it. */
import { randomUUID } from 'node:crypto';
import type { SessionHandle, WatchEvent } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, isRetriable } from '../errors.ts';
import { parentOf } from '../client/paths.ts';
import { decode, encode } from './documents.ts';
import { deleteOwned, NodeLease } from './lease.ts';
import { orAborted } from './recipe.ts';

export interface ClaimOptions {
  path: string;
  /** Kept in the node beside a GUID, which tells this claim from another one of the same session. */
  content: unknown;
  /** Which claim it is, if more than one call makes it; left out, each call is a claim of its own. */
  guid?: string;
  signal: AbortSignal;
  /** A watch is set, and nothing will be asked before it fires. */
  onRest?: () => void;
  onWake?: (event: WatchEvent) => void;
}

/**
 * Waits until the node is this session's.
 * @throws ZooKeeperError that is not retriable; the signal's reason
 */
export async function claim(zk: ZooKeeper, options: ClaimOptions): Promise<NodeLease> {
  const { path, signal } = options;
  for (;;) {
    const outcome = await tryClaim(zk, options);
    if (outcome !== 'taken') return outcome;
    const event = Promise.withResolvers<WatchEvent>();
    try {
      await zk.whenConnected({ signal });
      const stat = await zk.exists(path, event.resolve);
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

/** The lease, or `taken` if somebody else has the node. Waits for the connection only. */
export async function tryClaim(zk: ZooKeeper, options: ClaimOptions): Promise<NodeLease | 'taken'> {
  const { path, content, signal } = options;
  const { guid = randomUUID() } = options;
  let asked: SessionHandle | undefined;
  for (;;) {
    const session = await zk.whenConnected({ signal }).catch((error: unknown) => {
      if (asked !== undefined) void giveBack(zk, path, guid, asked);
      throw error;
    });
    try {
      await zk.create(path, encode({ guid, content }), { mode: 'ephemeral' });
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) {
        await zk.ensurePath(parentOf(path)).catch(async (fault: unknown) => zk.pauseAfter(fault));
        continue;
      }
      if (!hasCode(error, 'zookeeper.node_exists')) {
        if (isRetriable(error) && error.applied === 'unknown') asked = session;
        await zk.pauseAfter(error);
        continue;
      }
      // It is ours only if this very claim, in this very session, has asked before and got no answer.
      if (asked !== session) return 'taken';
    }
    const lease = await confirmClaim(zk, path, guid, session).catch(async (error: unknown) => {
      await zk.pauseAfter(error);
      asked = session;
      return 'unknown' as const;
    });
    if (lease === 'unknown') continue;
    if (lease === 'taken') return lease;
    if (signal.aborted) {
      await lease.release();
      signal.throwIfAborted();
    }
    return lease;
  }
}

/** A claim whose answer is unknown and that nobody waits for any more must not be left standing. Never rejects. */
async function giveBack(zk: ZooKeeper, path: string, guid: string, session: SessionHandle): Promise<void> {
  while (zk.session === session) {
    try {
      await zk.whenConnected();
      await zk.sync(path);
      const lease = await confirmClaim(zk, path, guid, session);
      if (lease !== 'taken') await lease.release();
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

async function confirmClaim(
  zk: ZooKeeper,
  path: string,
  guid: string,
  session: SessionHandle,
): Promise<NodeLease | 'taken'> {
  try {
    const { data, stat } = await zk.getData(path);
    const mine =
      stat.ephemeralOwner === session.id && (decode(data) as { guid?: unknown } | undefined)?.guid === guid;
    if (!mine) return 'taken';
    const lease = await NodeLease.confirm(zk, { path, epoch: stat.czxid, session });
    if (lease !== undefined) return lease;
    await deleteOwned(zk, { path, session, epoch: stat.czxid }, true);
    return 'taken';
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return 'taken';
    throw error;
  }
}
