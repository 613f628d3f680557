/** Steps that claims and tickets share. */
import { raceAbort } from '@thermomesh/runtime';
import type { SessionHandle, WatchEvent } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { pauseBeforeRetry } from './lease.ts';

/** What a caller learns of its wait for another node. */
export interface WaitingListener {
  /** Called when a watch is set and no request follows before it fires. */
  onRest?: () => void;
  /** Called when the watch fires, or the connection breaks. */
  onWake?: (event: WatchEvent) => void;
}

/**
 * Waits for the next event of a node that stands in the way. Returns at once if the node is gone:
 * then no watch would ever fire.
 * @throws ZooKeeperError; the signal's reason
 */
export async function waitForEvent(
  zk: ZooKeeper,
  path: string,
  { onRest, onWake, signal }: WaitingListener & { signal: AbortSignal },
): Promise<void> {
  const event = Promise.withResolvers<WatchEvent>();
  const stat = await zk.exists(path, event.resolve);
  if (stat === undefined) return;
  onRest?.();
  const fired = await raceAbort(event.promise, signal);
  onWake?.(fired);
}

/**
 * Resolves with the session once it is connected. If the caller leaves first, calls `leave`, which
 * undoes what the caller may have created.
 */
export async function connectedOr(
  zk: ZooKeeper,
  signal: AbortSignal,
  leave: () => void,
): Promise<SessionHandle> {
  try {
    return await zk.whenConnected({ signal });
  } catch (error) {
    leave();
    throw error;
  }
}

/** Creates a missing node before a create below it is tried again. @throws what no retry solves */
export async function ensureBeforeRetry(zk: ZooKeeper, path: string): Promise<void> {
  await zk.ensurePath(path).catch(async (failure: unknown) => zk.pauseAfter(failure));
}

/**
 * Undoes a create of `session` whose answer was lost, for a caller that has left. Repeats `undo`
 * until it succeeds, or until the session ends and the server deletes the node itself. Never
 * rejects.
 */
export async function undoStray(
  zk: ZooKeeper,
  session: SessionHandle,
  undo: () => Promise<void>,
): Promise<void> {
  while (zk.session === session) {
    try {
      await zk.whenConnected();
      await undo();
      return;
    } catch (error) {
      if (!(await pauseBeforeRetry(zk, error))) return;
    }
  }
}
