/** Who is there, with what it says of itself. No ghosts: a restarted member replaces its own remains. */
import { randomUUID } from 'node:crypto';
import { join } from '../client/paths.ts';
import type { NodeChildren, NodeData } from '../client/types.ts';
import type { Watch } from '../client/watch.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';
import { tryClaim } from './claim.ts';
import { decode, encode } from './documents.ts';
import { NodeLease } from './lease.ts';
import { isEnd, Recipe } from './recipe.ts';

/** A member, as the others see it. */
export interface Member<M> {
  id: string;
  metadata: M;
  /** The transaction of its joining: another one under the same id has a higher one. */
  epoch: bigint;
  joinedAtMs: number;
}

export interface GroupOptions<M> {
  path: string;
  /** Left out: only looks on. */
  self?: { id: string; metadata: M };
  /** Of another member's node; throws on what is none. Such a member is left out. */
  parse: (metadata: unknown) => M;
  /** It cannot go on: replaced by another process of the same id, or not allowed. */
  onFailed?: (error: unknown) => void;
}

/**
 * One group. Members are listed as this client sees them: possibly late, never for long, and through an outage as they were known
 * last (`fresh` says so). Of two processes with one id the later one stays, and the other hears of it.
 */
export class GroupMembership<M> extends Recipe {
  readonly #options: GroupOptions<M>;
  readonly #guid = randomUUID();
  readonly #listeners = new Set<(members: readonly Member<M>[]) => void>();
  readonly #watches = new Map<string, Watch<NodeData | undefined>>();
  readonly #ready = Promise.withResolvers<undefined>();
  #children: Watch<NodeChildren | undefined> | undefined;
  #members: Member<M>[] = [];
  #metadata: M | undefined;
  /** What the node of this member says. */
  #written: M | undefined;
  #lease: NodeLease | undefined;
  #hasJoined = false;
  #joining: Promise<void> = Promise.resolve();

  /** @throws ZooKeeperError `zookeeper.bad_path` if the id is no name of a node */
  constructor(zk: ZooKeeper, options: GroupOptions<M>) {
    super(zk, options.path);
    if (options.self?.id.includes('/') === true) {
      throw new ZooKeeperError('zookeeper.bad_path', `${options.self.id} is no name of a node`);
    }
    this.#options = options;
    this.#metadata = options.self?.metadata;
    this.#ready.promise.catch(() => undefined);
  }

  /** As known last, sorted by id. */
  get members(): readonly Member<M>[] {
    return this.#members;
  }

  /** False while what is known may have changed unseen. */
  get fresh(): boolean {
    return this.#children?.fresh ?? false;
  }

  /** True while this member is in the list that the servers keep. */
  get joined(): boolean {
    return this.#lease?.held ?? false;
  }

  /** This member's epoch while it is joined. */
  get epoch(): bigint | undefined {
    return this.#lease?.signal.aborted === false ? this.#lease.epoch : undefined;
  }

  /** Returns when the first list is there. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /** Called with the list now, if there is one, and with each new one. @returns what stops it */
  onChange(listener: (members: readonly Member<M>[]) => void): () => void {
    this.#listeners.add(listener);
    if (this.#children?.current !== undefined) listener(this.#members);
    return () => this.#listeners.delete(listener);
  }

  /** Says something else of itself, kept over a new session. Returns when it is written, or the session is over. */
  async update(metadata: M): Promise<void> {
    this.assertStarted();
    this.#metadata = metadata;
    if (this.#lease !== undefined) await this.#write(this.#lease);
  }

  protected override onStart(): void {
    if (this.#options.self !== undefined) this.#joining = this.#stay(this.#options.self.id);
    this.#children = this.zk.watchChildren(this.path);
    this.#children.subscribe((children) => this.#follow(children?.names ?? []));
    this.#children.first().catch((error: unknown) => this.#ready.reject(error));
  }

  protected override async onClose(): Promise<void> {
    const watches = [...this.#watches.values()];
    await Promise.all([this.#children?.close(), ...watches.map(async (watch) => watch.close())]);
    await this.#lease?.release();
    await this.#joining;
    this.#ready.reject(new ZooKeeperError('zookeeper.closed', `${this.path}: the recipe was closed`));
    // A joining that was under way has come to an end by now, with or without a lease.
    await this.#lease?.release();
  }

  async #stay(id: string): Promise<void> {
    const path = join(this.path, id);
    while (!this.closing.aborted) {
      try {
        const content = this.#metadata;
        const claimed = await tryClaim(this.zk, { path, content, guid: this.#guid, signal: this.closing });
        const lease = claimed === 'taken' ? await this.#replaceGhost(path, content) : claimed;
        if (lease === undefined) continue;
        this.#lease = lease;
        this.#hasJoined = true;
        this.#written = content;
        // Whoever closes has looked for a lease already: it waits for this to end, and then gives back what there is.
        if (this.closing.aborted) return;
        await this.#write(lease);
        await lease.ended;
      } catch (error) {
        if (!isEnd(error, this.closing)) this.#options.onFailed?.(error);
        return;
      }
    }
  }

  /** Until the node says what was said last, or another one has to be made, which will say it. */
  async #write(lease: NodeLease): Promise<void> {
    const { signal } = lease;
    while (!signal.aborted && this.#written !== this.#metadata) {
      const content = this.#metadata;
      try {
        await this.zk.retry(async () => this.#writeOnce(lease, content), { signal });
        this.#written = content;
      } catch (error) {
        // Somebody has come or gone in between, or an earlier try happened whose answer was lost: look again.
        if (hasCode(error, 'zookeeper.bad_version')) continue;
        if (!signal.aborted && !hasCode(error, 'zookeeper.no_node', 'zookeeper.closed')) throw error;
        return;
      }
    }
  }

  /**
   * Writes on the node that was looked at, and on no other: whoever replaces it turns the version of the group, which was read before
   * it. A version of the node alone would not tell: that of another process's node starts from 0 too.
   * @throws ZooKeeperError `zookeeper.bad_version`, `zookeeper.no_node`: it is this member's no more
   */
  async #writeOnce(lease: NodeLease, content: M | undefined): Promise<void> {
    const [, group, { stat }] = await Promise.all([
      this.zk.sync(this.path),
      this.zk.exists(this.path),
      this.zk.getData(lease.path),
    ]);
    if (group === undefined || stat.czxid !== lease.epoch) {
      throw new ZooKeeperError('zookeeper.no_node', `${lease.path} is another process's`, {
        path: lease.path,
      });
    }
    await this.zk.multi([
      { type: 'check', path: this.path, version: group.version },
      { type: 'set', path: lease.path, data: encode({ guid: this.#guid, content }), version: stat.version },
    ]);
  }

  /**
   * What an earlier life of this member has left is replaced in one transaction: its session has not ended yet, but there is nobody
   * behind it. At the first joining that is whatever stands there, afterwards only what this process has made: anything else is
   * another process, which came later.
   */
  async #replaceGhost(path: string, content: M | undefined): Promise<NodeLease | undefined> {
    try {
      const session = await this.zk.whenConnected({ signal: this.closing });
      const { data, stat: ghost } = await this.zk.getData(path);
      const mine = (decode(data) as { guid?: unknown } | undefined)?.guid === this.#guid;
      // A create of before whose answer was lost.
      if (mine && ghost.ephemeralOwner === session.id) {
        return await NodeLease.confirm(this.zk, { path, epoch: ghost.czxid, session });
      }
      if (this.#hasJoined && !mine) {
        throw new ZooKeeperError('zookeeper.misused', `another process has joined ${path}`, { path });
      }
      await this.zk.multi([
        // So that what the other one is about to write there is refused.
        { type: 'set', path: this.path, data: Buffer.alloc(0) },
        { type: 'delete', path, version: ghost.version },
        { type: 'create', path, data: encode({ guid: this.#guid, content }), mode: 'ephemeral' },
      ]);
      // The next look finds it there, and takes it.
      return undefined;
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node', 'zookeeper.bad_version', 'zookeeper.node_exists'))
        return undefined;
      await this.zk.pauseAfter(error);
      return undefined;
    }
  }

  #follow(names: readonly string[]): void {
    for (const [name, watch] of this.#watches) {
      if (names.includes(name)) continue;
      this.#watches.delete(name);
      void watch.close();
    }
    for (const name of names) {
      if (this.#watches.has(name)) continue;
      const watch = this.zk.watchData(join(this.path, name));
      this.#watches.set(name, watch);
      watch.subscribe(() => this.#publish());
    }
    this.#publish();
  }

  /** Not before all of them have been read: a list that grows one by one would look like joining. */
  #publish(): void {
    const watches = [...this.#watches];
    if (this.closing.aborted || watches.some(([, watch]) => watch.current === undefined)) return;
    this.#members = watches
      .flatMap(([id, watch]) => this.#memberOf(id, watch.current?.value))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
    this.#ready.resolve(undefined);
    for (const listener of [...this.#listeners]) listener(this.#members);
  }

  #memberOf(id: string, node: NodeData | undefined): Member<M>[] {
    if (node === undefined) return [];
    const document = decode(node.data) as { content?: unknown } | undefined;
    try {
      const metadata = this.#options.parse(document?.content);
      return [{ id, metadata, epoch: node.stat.czxid, joinedAtMs: node.stat.createdAtMs }];
    } catch {
      // A node that somebody else has put there is no member.
      return [];
    }
  }
}
