/** Claims one named ephemeral node that only one session at a time may own. */
import { randomUUID } from 'node:crypto';
import type { SessionHandle } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, mayHaveHappened } from '../../errors.ts';
import { parentOf } from '../../client/paths.ts';
import { decode, encode } from '../documents.ts';
import { connectedOr, ensureBeforeRetry, undoStray, waitForEvent, type WaitingListener } from './attempts.ts';
import { deleteOwned, NodeLease } from './lease.ts';

export interface ClaimOptions extends WaitingListener {
  path: string;
  /**
   * Stored in the node beside a GUID, which tells this claim from another one of the same session.
   */
  content: unknown;
  /** Identifies the claim if several calls make it. Default: each call is a claim of its own. */
  guid?: string;
  signal: AbortSignal;
}

/**
 * Waits until this session owns the node.
 * @throws ZooKeeperError that is not retriable; the signal's reason
 */
export async function claim(zk: ZooKeeper, options: ClaimOptions): Promise<NodeLease> {
  const { path, signal } = options;
  for (;;) {
    const outcome = await tryClaim(zk, options);
    if (outcome !== 'taken') return outcome;
    try {
      await zk.whenConnected({ signal });
      await waitForEvent(zk, path, options);
    } catch (error) {
      signal.throwIfAborted();
      await zk.pauseAfter(error);
    }
  }
}

/** Returns the lease, or `taken` if another claim owns the node. Waits only for the connection. */
export async function tryClaim(zk: ZooKeeper, options: ClaimOptions): Promise<NodeLease | 'taken'> {
  const { path, content, signal } = options;
  const { guid = randomUUID() } = options;
  let asked: SessionHandle | undefined;
  for (;;) {
    const session = await connectedOr(zk, signal, () => {
      if (asked !== undefined) void releaseStray(zk, path, guid, asked);
    });
    try {
      await zk.create(path, encode({ guid, content }), { mode: 'ephemeral' });
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) {
        await ensureBeforeRetry(zk, parentOf(path));
        continue;
      }
      if (!hasCode(error, 'zookeeper.node_exists')) {
        if (mayHaveHappened(error)) asked = session;
        await zk.pauseAfter(error);
        continue;
      }
      // The node is ours only if this very claim, in this very session, has asked before and got no
      // answer.
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

/** Deletes the node of an abandoned claim whose answer was lost. Never rejects. */
async function releaseStray(
  zk: ZooKeeper,
  path: string,
  guid: string,
  session: SessionHandle,
): Promise<void> {
  await undoStray(zk, session, async () => {
    await zk.sync(path);
    const lease = await confirmClaim(zk, path, guid, session);
    if (lease !== 'taken') await lease.release();
  });
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
