/**
 * The {@link LeaderSource} of libs/election on ZooKeeper: the queue of an election, and the
 * statuses of its group.
 */
import type { Epoch, MemberStatus, LeaderSource, LeaderSourceHandlers, NodeId } from '@thermomesh/election';
import {
  GroupMembership,
  isRetriable,
  LeaderElection,
  ZooKeeper,
  type Member,
  type NodeData,
  type Watch,
} from '@thermomesh/zookeeper';
import {
  releasedPath,
  membersPath,
  parseMember,
  queuePath,
  type AboutMember,
  type ElectionMember,
} from './members.ts';

export interface LeaderSourceOptions {
  nodeId: NodeId;
  /** `host:port,host:port`. */
  hosts: string;
  /** The node below which everything is kept. */
  path: string;
  /**
   * A dead node's place is free after this time, so it bounds the failover. The server grants 2 to
   * 20 of its ticks.
   */
  sessionTimeoutMs: number;
  /** Upper bound of the pause between two attempts while no server answers. */
  redialDelayMsMax?: number;
  /** What observers of the group see of this node. */
  about?: AboutMember;
}

/** Pause before the node joins the queue again after an error that no outage explains. */
const standAgainMs = 1_000;

export function createZooKeeperLeaderSource(options: LeaderSourceOptions): LeaderSource {
  return new ZooKeeperLeaderSource(options);
}

/** One stay in the queue. A place that was left reports nothing any more. */
interface Place {
  election: LeaderElection;
  again: NodeJS.Timeout | undefined;
}

class ZooKeeperLeaderSource implements LeaderSource {
  readonly #options: LeaderSourceOptions;
  readonly #zk: ZooKeeper;
  readonly #group: GroupMembership<ElectionMember>;
  #handlers: LeaderSourceHandlers | undefined;
  #status: MemberStatus = { fit: false, leads: null };
  #place: Place | undefined;
  #candidate = false;
  #first = false;
  #reachable: boolean | undefined;
  #late: NodeJS.Timeout | undefined;
  readonly #leaving = new Set<Promise<void>>();
  #released: Watch<NodeData | undefined> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: LeaderSourceOptions) {
    this.#options = options;
    this.#zk = new ZooKeeper({
      hosts: options.hosts,
      sessionTimeoutMs: options.sessionTimeoutMs,
      limits: options.redialDelayMsMax === undefined ? {} : { redialDelayMsMax: options.redialDelayMsMax },
      onError: (error) => this.#handlers?.onError(error),
    });
    this.#group = new GroupMembership<ElectionMember>(this.#zk, {
      path: membersPath(options.path),
      self: { id: String(options.nodeId), metadata: this.#self },
      parse: parseMember,
      onFailed: (error) => this.#handlers?.onError(error),
    });
  }

  async start(handlers: LeaderSourceHandlers): Promise<void> {
    this.#handlers = handlers;
    this.#zk.onPhase((phase) => {
      if (phase === 'connected') this.#reportReachable(true, 'connected');
      if (phase === 'suspended') {
        this.#reportReachable(false, 'the connection broke, or the server is silent');
      }
      if (phase === 'lost') {
        this.#reportReachable(false, 'the session has ended');
        // What was known may be out of date by now.
        this.#handlers?.onGroup({});
      }
    });
    this.#late = setTimeout(() => {
      if (this.#reachable === undefined) {
        this.#reportReachable(false, `no server of ${this.#options.hosts} has answered yet`);
      }
    }, this.#options.sessionTimeoutMs);
    this.#zk.start();
    this.#group.start();
    // Covers a status that was published before the start, or while the membership was being
    // renewed.
    this.#group.onChange((members) => this.#read(members));
    void this.#write();
    this.#seek();
    this.#readReleased();
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#handlers = undefined;
    clearTimeout(this.#late);
    // Ends the session after the last status was written. That frees the place at once, so the
    // successor does not have to wait.
    await this.#zk.close();
    this.#leave();
    await Promise.all([this.#group.close(), this.#released?.close(), ...this.#leaving]);
  }

  setCandidate(candidate: boolean): void {
    this.#candidate = candidate;
    if (!candidate) this.#leave();
    else if (this.#place === undefined) this.#seek();
  }

  requeue(): void {
    this.#leave();
    this.#seek();
  }

  publish(status: MemberStatus): void {
    if (isSameStatus(status, this.#status)) return;
    this.#status = status;
    void this.#write();
  }

  announceRelease(epoch: Epoch): void {
    // Sent at once, before the caller's next request. It serves only for counting, so it is not
    // awaited and may be lost.
    this.#zk.setData(this.#releasedPath, Buffer.from(String(epoch))).catch(() => undefined);
  }

  get #self(): ElectionMember {
    return { ...this.#options.about, ...this.#status };
  }

  #seek(): void {
    if (this.#handlers === undefined || !this.#candidate) return;
    const isNow = () => this.#place === place;
    const report = (first: boolean) => {
      if (isNow()) this.#reportFirst(first);
    };
    const election = new LeaderElection(this.#zk, {
      path: queuePath(this.#options.path),
      id: String(this.#options.nodeId),
      listener: {
        elected: (lease) => report(lease.held),
        resumed: () => report(true),
        suspended: () => report(false),
        deposed: () => report(false),
        failed: (error) => {
          if (!isNow()) return;
          this.#reportFirst(false);
          this.#handlers?.onError(error);
          place.again = setTimeout(() => this.requeue(), standAgainMs);
        },
      },
    });
    const place: Place = { election, again: undefined };
    this.#place = place;
    election.start();
  }

  #leave(): void {
    const place = this.#place;
    this.#place = undefined;
    this.#first = false;
    if (place === undefined) return;
    clearTimeout(place.again);
    const leaving = place.election.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  /**
   * Writes the status if it is missing: a membership that is being renewed may hold an older one.
   */
  async #write(): Promise<void> {
    if (this.#group.state !== 'started') return;
    try {
      await this.#group.update(this.#self);
    } catch (error) {
      // A missing connection loses nothing: the next list of members shows that the status is
      // missing.
      if (!isRetriable(error)) this.#handlers?.onError(error);
    }
  }

  #read(members: readonly Member<ElectionMember>[]): void {
    const others: Record<NodeId, MemberStatus> = {};
    for (const { id, metadata } of members) {
      const { fit, leads } = metadata;
      if (Number(id) !== this.#options.nodeId) others[Number(id)] = { fit, leads };
      else if (!isSameStatus(metadata, this.#status)) void this.#write();
    }
    this.#handlers?.onGroup(others);
  }

  #readReleased(): void {
    const path = this.#releasedPath;
    this.#released = this.#zk.watchData(path);
    this.#released.subscribe((node) => {
      const epoch = Number(node?.data.toString());
      if (Number.isSafeInteger(epoch) && epoch > 0) this.#handlers?.onReleased(epoch);
    });
    this.#zk
      .retry(async () => this.#zk.ensurePath(path))
      .catch((error: unknown) => {
        this.#handlers?.onError(error);
      });
  }

  get #releasedPath(): string {
    return releasedPath(this.#options.path);
  }

  #reportFirst(first: boolean): void {
    if (this.#first === first) return;
    this.#first = first;
    this.#handlers?.onFirst(first);
  }

  #reportReachable(reachable: boolean, reason: string): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#handlers?.onReachable(reachable, reason);
  }
}

function isSameStatus(one: MemberStatus, other: MemberStatus): boolean {
  return one.fit === other.fit && one.leads === other.leads;
}
