/** The queue of an election and the board of its group, kept in ZooKeeper: the {@link LeaderSource} of libs/election. */
import type { Epoch, GroupWord, LeaderSource, LeaderSourceHandlers, NodeId } from '@thermomesh/election';
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
  givenBackPath,
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
  /** Below this node everything is kept. */
  path: string;
  /** A dead node's place is free after this time, so it bounds the failover; the server grants 2 to 20 of its ticks. */
  sessionTimeoutMs: number;
  /** While no server answers, at most this long between two attempts. */
  redialDelayMsMax?: number;
  /** Shown to whoever looks at the group. */
  about?: AboutMember;
}

/** Pause before a place is sought again after something failed that no outage explains. */
const standAgainMs = 1_000;

export function createZooKeeperLeaderSource(options: LeaderSourceOptions): LeaderSource {
  return new ZooKeeperLeaderSource(options);
}

/** One stay in the queue. A place that was given up reports nothing any more. */
interface Place {
  election: LeaderElection;
  again: NodeJS.Timeout | undefined;
}

class ZooKeeperLeaderSource implements LeaderSource {
  readonly #options: LeaderSourceOptions;
  readonly #zk: ZooKeeper;
  readonly #group: GroupMembership<ElectionMember>;
  #handlers: LeaderSourceHandlers | undefined;
  #word: GroupWord = { fit: false, leads: null };
  #place: Place | undefined;
  #standing = false;
  #first = false;
  #reachable: boolean | undefined;
  #late: NodeJS.Timeout | undefined;
  readonly #leaving = new Set<Promise<void>>();
  #givenBack: Watch<NodeData | undefined> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: LeaderSourceOptions) {
    this.#options = options;
    this.#zk = new ZooKeeper({
      hosts: options.hosts,
      sessionTimeoutMs: options.sessionTimeoutMs,
      limits: options.redialDelayMsMax === undefined ? {} : { redialDelayMsMax: options.redialDelayMsMax },
      onFault: (error) => this.#handlers?.onFault(error),
    });
    this.#group = new GroupMembership<ElectionMember>(this.#zk, {
      path: membersPath(options.path),
      self: { id: String(options.nodeId), metadata: this.#self },
      parse: parseMember,
      onFailed: (error) => this.#handlers?.onFault(error),
    });
  }

  async start(handlers: LeaderSourceHandlers): Promise<void> {
    this.#handlers = handlers;
    this.#zk.onPhase((phase) => {
      if (phase === 'connected') this.#tellReachable(true, 'connected');
      if (phase === 'suspended') {
        this.#tellReachable(false, 'the connection broke, or the server is silent');
      }
      if (phase === 'lost') {
        this.#tellReachable(false, 'the session is over');
        // What was known may be long past.
        this.#handlers?.onGroup({});
      }
    });
    this.#late = setTimeout(() => {
      if (this.#reachable === undefined) {
        this.#tellReachable(false, `no server of ${this.#options.hosts} has answered yet`);
      }
    }, this.#options.sessionTimeoutMs);
    this.#zk.start();
    this.#group.start();
    // What was said before the start, or while the membership was being renewed.
    this.#group.onChange((members) => this.#read(members));
    void this.#write();
    this.#seek();
    this.#readGivenBack();
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#handlers = undefined;
    clearTimeout(this.#late);
    // Ends the session after what was said, and with it frees the place: whoever comes next need not wait.
    await this.#zk.close();
    this.#leave();
    await Promise.all([this.#group.close(), this.#givenBack?.close(), ...this.#leaving]);
  }

  stand(standing: boolean): void {
    this.#standing = standing;
    if (!standing) this.#leave();
    else if (this.#place === undefined) this.#seek();
  }

  requeue(): void {
    this.#leave();
    this.#seek();
  }

  say(word: GroupWord): void {
    if (isSameWord(word, this.#word)) return;
    this.#word = word;
    void this.#write();
  }

  giveBack(epoch: Epoch): void {
    // Sent at once, before whatever the caller does next. It is only for counting: nobody waits for it, and it may be lost.
    this.#zk.setData(this.#givenBackPath, Buffer.from(String(epoch))).catch(() => undefined);
  }

  get #self(): ElectionMember {
    return { ...this.#options.about, ...this.#word };
  }

  #seek(): void {
    if (this.#handlers === undefined || !this.#standing) return;
    const isNow = () => this.#place === place;
    const tell = (first: boolean) => {
      if (isNow()) this.#tellFirst(first);
    };
    const election = new LeaderElection(this.#zk, {
      path: queuePath(this.#options.path),
      id: String(this.#options.nodeId),
      listener: {
        elected: (lease) => tell(lease.held),
        resumed: () => tell(true),
        suspended: () => tell(false),
        deposed: () => tell(false),
        failed: (error) => {
          if (!isNow()) return;
          this.#tellFirst(false);
          this.#handlers?.onFault(error);
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

  /** Writes the word if it is not there: a membership that is being renewed may have taken the one before. */
  async #write(): Promise<void> {
    if (this.#group.state !== 'started') return;
    try {
      await this.#group.update(this.#self);
    } catch (error) {
      // Without a connection nothing is lost: the next list of members shows that the word is missing.
      if (!isRetriable(error)) this.#handlers?.onFault(error);
    }
  }

  #read(members: readonly Member<ElectionMember>[]): void {
    const others: Record<NodeId, GroupWord> = {};
    for (const { id, metadata } of members) {
      const { fit, leads } = metadata;
      if (Number(id) !== this.#options.nodeId) others[Number(id)] = { fit, leads };
      else if (!isSameWord(metadata, this.#word)) void this.#write();
    }
    this.#handlers?.onGroup(others);
  }

  #readGivenBack(): void {
    const path = this.#givenBackPath;
    this.#givenBack = this.#zk.watchData(path);
    this.#givenBack.subscribe((node) => {
      const epoch = Number(node?.data.toString());
      if (Number.isSafeInteger(epoch) && epoch > 0) this.#handlers?.onGivenBack(epoch);
    });
    this.#zk
      .retry(async () => this.#zk.ensurePath(path))
      .catch((error: unknown) => {
        this.#handlers?.onFault(error);
      });
  }

  get #givenBackPath(): string {
    return givenBackPath(this.#options.path);
  }

  #tellFirst(first: boolean): void {
    if (this.#first === first) return;
    this.#first = first;
    this.#handlers?.onFirst(first);
  }

  #tellReachable(reachable: boolean, reason: string): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#handlers?.onReachable(reachable, reason);
  }
}

function isSameWord(one: GroupWord, other: GroupWord): boolean {
  return one.fit === other.fit && one.leads === other.leads;
}
