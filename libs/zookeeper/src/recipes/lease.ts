/** What every holder gets: the right to act, with an end that is noticed and an epoch that fences. */
import type { SessionHandle, WatchEvent } from '../client/types.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';

/** Why a lease ended. `lost`: the session did. `revoked`: somebody deleted its node. */
export type LeaseEnd = 'released' | 'lost' | 'revoked';

/**
 * The right to act. Whatever is acted on must check `epoch`: no clock keeps a process that is stopped between `held` and the act from
 * acting late. Epochs grow from holder to holder over the life of the ensemble.
 */
export interface Lease {
  /** The transaction that created the node of this lease. */
  readonly epoch: bigint;
  readonly path: string;
  /** True while it may be acted on: proven by the server, not suspended, within two thirds of the session's timeout. */
  readonly held: boolean;
  /** Aborted at its end, which is final. A suspension does not abort it. */
  readonly signal: AbortSignal;
  /** Settles at its end. Never rejects. */
  readonly ended: Promise<LeaseEnd>;
  /** @throws ZooKeeperError `zookeeper.lease_lost` unless `held` */
  assertHeld(): void;
  /** Calls with true when it may be acted on again and with false when it may not; not for the end. @returns what stops it */
  onHeld(listener: (held: boolean) => void): () => void;
  /** Gives it up. Returns when the node is gone, or the session is. Idempotent; never rejects. */
  release(): Promise<void>;
}

/** A node that this session owns. */
export interface OwnedNode {
  path: string;
  epoch: bigint;
  session: SessionHandle;
}

/** A lease on an ephemeral node: lives as long as the node, is owned by the session, and asks the server again after each break. */
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
  #verified = false;
  #told = true;
  #release: Promise<void> | undefined;

  private constructor(zk: ZooKeeper, node: OwnedNode) {
    this.#zk = zk;
    this.#session = node.session;
    this.epoch = node.epoch;
    this.path = node.path;
    this.ended = this.#end.promise;
    this.#stopListening = zk.onPhase((phase) => {
      if (phase === 'suspended') this.#setVerified(false);
      if (phase === 'lost' || phase === 'closed') this.#finish('lost');
    });
  }

  /** The lease once the server has confirmed that the node is there and this session's; undefined if it is not. */
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
    return this.#verified && !this.signal.aborted && this.#zk.mayAct(this.#session);
  }

  assertHeld(): void {
    if (this.held) return;
    const why = this.signal.aborted ? 'is over' : 'is suspended';
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

  /** Asks for the node, and again whenever the watch fires: memory of before a break proves nothing. */
  async #guard(onVerified: () => void): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await this.#zk.whenConnected({ signal: this.signal });
        const event = Promise.withResolvers<WatchEvent>();
        // Pipelined: the read is answered after all that was written before the sync.
        const synced = this.#zk.sync(this.path);
        const [, stat] = await Promise.all([synced, this.#zk.exists(this.path, event.resolve)]);
        if (stat?.ephemeralOwner !== this.#session.id || stat.czxid !== this.epoch) {
          return this.#finish('revoked');
        }
        if (!this.signal.aborted && this.#zk.mayAct(this.#session)) {
          this.#setVerified(true);
          onVerified();
        }
        await Promise.race([event.promise, this.ended]);
      } catch (error) {
        if (this.signal.aborted) return;
        await this.#zk.pauseAfter(error).catch(() => this.#finish('revoked'));
      }
    }
  }

  #setVerified(verified: boolean): void {
    this.#verified = verified;
    if (this.signal.aborted || this.#told === verified) return;
    this.#told = verified;
    for (const listener of [...this.#listeners]) listener(verified);
  }

  #finish(end: LeaseEnd): void {
    if (this.signal.aborted) return;
    this.#verified = false;
    this.#stopListening();
    this.#ending.abort(
      new ZooKeeperError('zookeeper.lease_lost', `the lease ${this.path} ended: ${end}`, { path: this.path }),
    );
    this.#end.resolve(end);
    this.#listeners.clear();
  }
}

/** A node that this session made; without its epoch if the name is nobody else's, as a ticket's. */
interface OwnName {
  path: string;
  session: SessionHandle;
  epoch?: bigint;
}

/**
 * Deletes a node of this session for sure: tries again until the server has answered, or the session is over and the server
 * deletes it itself. A delete whose answer was lost may have happened, and somebody else may have made the node anew since: before
 * each further try it is looked at. Never rejects.
 * @param lookFirst before the first try too: it may be somebody else's already
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
      // What remains (no right to delete, say) cannot be mended here; the node goes with the session.
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

/** Only this session could delete it and make it again, and it does not. */
async function isStillOwned(zk: ZooKeeper, { path, session, epoch }: OwnName): Promise<boolean> {
  const [, stat] = await Promise.all([zk.sync(path), zk.exists(path)]);
  return stat?.ephemeralOwner === session.id && (epoch === undefined || stat.czxid === epoch);
}
