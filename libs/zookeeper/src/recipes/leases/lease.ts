/** What every holder gets: the right to act, with an observable end and a fencing epoch. */
import type { SessionHandle, WatchEvent } from '../../client/types.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../../errors.ts';

/** Why a lease ended. `lost`: the session ended. `revoked`: another client deleted the node. */
export type LeaseEnd = 'released' | 'lost' | 'revoked';

/**
 * The right to act. The resource must check `epoch`, because no clock keeps a process that is
 * stopped between `held` and the act from acting late. Epochs grow from holder to holder over the
 * life of the ensemble.
 */
export interface Lease {
  /** The transaction that created the node of this lease. */
  readonly epoch: bigint;
  readonly path: string;
  /**
   * True while the holder may act: confirmed by the server, not suspended, within two thirds of the
   * session's timeout.
   */
  readonly held: boolean;
  /** Aborted when the lease ends, which is final. A suspension does not abort it. */
  readonly signal: AbortSignal;
  /** Resolves when the lease ends. Never rejects. */
  readonly ended: Promise<LeaseEnd>;
  /** @throws ZooKeeperError `zookeeper.lease_lost` unless `held` */
  assertHeld(): void;
  /**
   * Calls the listener with true when the holder may act again and with false when it may not; not
   * for the end.
   * @returns a function that removes the listener
   */
  onHeld(listener: (held: boolean) => void): () => void;
  /**
   * Releases the lease. Resolves when the node is deleted or the session has ended. Idempotent;
   * never rejects.
   */
  release(): Promise<void>;
}

/**
 * The life of a lease. `confirming`: the server has not confirmed it yet. `suspended`: it must be
 * confirmed again.
 */
type LeasePhase = 'confirming' | 'held' | 'suspended' | 'ended';

/** A node that this session owns. */
export interface OwnedNode {
  path: string;
  epoch: bigint;
  session: SessionHandle;
}

/**
 * A lease on an ephemeral node. It lasts as long as the node, belongs to the session, and asks the
 * server again after each break.
 */
export class NodeLease implements Lease {
  readonly epoch: bigint;
  readonly path: string;
  readonly ended: Promise<LeaseEnd>;
  readonly #zk: ZooKeeper;
  readonly #session: SessionHandle;
  readonly #ending = new AbortController();
  readonly #end = Promise.withResolvers<LeaseEnd>();
  readonly #listeners = new Set<(held: boolean) => void>();
  readonly #stopListening: () => void;
  #phase: LeasePhase = 'confirming';
  #askAgain: () => void = () => undefined;
  #release: Promise<void> | undefined;

  /** Makes a lease that the server has not confirmed yet; callers use `confirm`. */
  constructor(zk: ZooKeeper, node: OwnedNode) {
    this.#zk = zk;
    this.#session = node.session;
    this.epoch = node.epoch;
    this.path = node.path;
    this.ended = this.#end.promise;
    this.#stopListening = zk.onPhase((phase) => {
      if (phase === 'suspended') this.#become('suspended');
      if (phase === 'lost' || phase === 'closed') this.#finish('lost');
    });
  }

  /**
   * Resolves with the lease once the server has confirmed that this session owns the node; with
   * undefined if it does not.
   */
  static async confirm(zk: ZooKeeper, node: OwnedNode): Promise<NodeLease | undefined> {
    const lease = new NodeLease(zk, node);
    if (zk.session !== node.session) lease.#finish('lost');
    const confirmed = Promise.withResolvers<undefined>();
    void lease.#guard(() => confirmed.resolve(undefined));
    await Promise.race([confirmed.promise, lease.ended]);
    return lease.signal.aborted ? undefined : lease;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get held(): boolean {
    if (this.#phase !== 'held') return false;
    if (this.#zk.mayAct(this.#session)) return true;
    // The caller now waits for `onHeld`, but an answer that is read late keeps the session
    // connected, and then no change of its phase would end that wait.
    queueMicrotask(() => this.#doubt());
    return false;
  }

  assertHeld(): void {
    if (this.held) return;
    const why = this.signal.aborted ? 'has ended' : 'is suspended';
    throw new ZooKeeperError('zookeeper.lease_lost', `the lease ${this.path} ${why}`, { path: this.path });
  }

  onHeld(listener: (held: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  release(): Promise<void> {
    this.#release ??= this.#giveUp();
    return this.#release;
  }

  async #giveUp(): Promise<void> {
    const wasOver = this.signal.aborted;
    this.#finish('released');
    if (wasOver) return;
    await deleteOwned(this.#zk, { path: this.path, session: this.#session, epoch: this.epoch });
  }

  /**
   * Asks for the node at first and whenever the watch fires: what was known before a break proves
   * nothing.
   */
  async #guard(onVerified: () => void): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await this.#zk.whenConnected({ signal: this.signal });
        const event = Promise.withResolvers<WatchEvent | 'doubt'>();
        // Pipelined: the read is answered after everything that was written before the sync.
        const synced = this.#zk.sync(this.path);
        const [, stat] = await Promise.all([synced, this.#zk.exists(this.path, event.resolve)]);
        if (stat?.ephemeralOwner !== this.#session.id || stat.czxid !== this.epoch) {
          return this.#finish('revoked');
        }
        // The answer came so late that it proves nothing any more: ask again.
        if (this.signal.aborted || !this.#zk.mayAct(this.#session)) continue;
        this.#become('held');
        onVerified();
        this.#askAgain = () => event.resolve('doubt');
        await Promise.race([event.promise, this.ended]);
      } catch (error) {
        if (this.signal.aborted) return;
        await this.#zk.pauseAfter(error).catch(() => this.#finish('revoked'));
      }
    }
  }

  /** Suspends the lease, because its session is silent, until the server has confirmed it again. */
  #doubt(): void {
    if (this.#phase !== 'held') return;
    this.#become('suspended');
    this.#askAgain();
  }

  #become(next: 'held' | 'suspended'): void {
    const before = this.#phase;
    if (before === 'ended' || before === next) return;
    this.#phase = next;
    // The caller gets the lease when it is confirmed: to the listeners the first confirmation is no
    // change.
    if (before === 'confirming' && next === 'held') return;
    for (const listener of [...this.#listeners]) listener(next === 'held');
  }

  #finish(end: LeaseEnd): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#stopListening();
    this.#ending.abort(
      new ZooKeeperError('zookeeper.lease_lost', `the lease ${this.path} ended: ${end}`, { path: this.path }),
    );
    this.#end.resolve(end);
    this.#listeners.clear();
  }
}

/**
 * A node that this session made. It needs no epoch if no other client can use the name, as with a
 * ticket.
 */
interface OwnName {
  path: string;
  session: SessionHandle;
  epoch?: bigint;
}

/**
 * Deletes a node of this session reliably: repeats until the server has answered, or until the
 * session ends and the server deletes the node itself. A delete whose answer was lost may have
 * happened, and another client may have created the node again since, so each repetition looks at
 * the node first. Never rejects.
 * @param lookFirst look before the first attempt too, because the node may already belong to
 *   another client
 */
export async function deleteOwned(zk: ZooKeeper, node: OwnName, lookFirst = false): Promise<void> {
  for (let again = lookFirst; zk.session === node.session; again = true) {
    try {
      await zk.whenConnected();
      if (zk.session !== node.session) return;
      if (again && !(await isStillOwned(zk, node))) return;
      await zk.delete(node.path);
      return;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node', 'zookeeper.closed')) return;
      // A remaining error, such as a missing right to delete, cannot be solved here. The node
      // disappears with the session.
      if (!(await pauseBeforeRetry(zk, error))) return;
    }
  }
}

/** Resolves with true when a repetition makes sense, and with false if it would not help. */
export async function pauseBeforeRetry(zk: ZooKeeper, error: unknown): Promise<boolean> {
  return zk.pauseAfter(error).then(
    () => true,
    () => false,
  );
}

/** Only this session could delete the node and create it again, and it does not. */
async function isStillOwned(zk: ZooKeeper, { path, session, epoch }: OwnName): Promise<boolean> {
  const [, stat] = await Promise.all([zk.sync(path), zk.exists(path)]);
  return stat?.ephemeralOwner === session.id && (epoch === undefined || stat.czxid === epoch);
}
