/**
 * Lists the members of a group with their metadata. A restarted member replaces the node of its
 * previous process.
 */
import { randomUUID } from 'node:crypto';
import { join } from '../../client/paths.ts';
import type { NodeChildren, NodeData } from '../../client/types.ts';
import type { Watch } from '../../client/watch.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../../errors.ts';
import { tryClaim } from '../leases/claim.ts';
import { decode, encode } from '../documents.ts';
import { NodeLease } from '../leases/lease.ts';
import { isEnd, Recipe } from '../recipe.ts';

/** A member as the other members see it. */
export interface Member<M> {
  id: string;
  metadata: M;
  /** The transaction in which it joined. A later member with the same id has a higher epoch. */
  epoch: bigint;
  joinedAtMs: number;
}

export interface GroupOptions<M> {
  path: string;
  /** Omit it to observe the group without joining. */
  self?: { id: string; metadata: M };
  /** Parses another member's metadata. Members whose metadata it rejects (throws) are omitted. */
  parse: (metadata: unknown) => M;
  /**
   * The membership has ended: another process with the same id replaced it, or the client lacks a
   * right.
   */
  onFailed?: (error: unknown) => void;
}

/**
 * One group. The list may lag behind for a short time, and during an outage it is the last known
 * one (`fresh` is false then). Of two processes with the same id the later one stays, and the
 * earlier one gets `onFailed`.
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
  /** The metadata that the node of this member holds. */
  #written: M | undefined;
  #lease: NodeLease | undefined;
  #hasJoined = false;
  #joining: Promise<void> = Promise.resolve();

  /** @throws ZooKeeperError `zookeeper.bad_path` if the id is not a valid node name */
  constructor(zk: ZooKeeper, options: GroupOptions<M>) {
    super(zk, options.path);
    if (options.self?.id.includes('/') === true) {
      throw new ZooKeeperError('zookeeper.bad_path', `${options.self.id} is not a valid node name`);
    }
    this.#options = options;
    this.#metadata = options.self?.metadata;
    this.#ready.promise.catch(() => undefined);
  }

  /** The last known members, sorted by id. */
  get members(): readonly Member<M>[] {
    return this.#members;
  }

  /** False while the list may have changed without this client knowing. */
  get fresh(): boolean {
    return this.#children?.fresh ?? false;
  }

  /** True while the servers list this member. */
  get joined(): boolean {
    return this.#lease?.held ?? false;
  }

  /** The epoch of this member while it is joined. */
  get epoch(): bigint | undefined {
    return this.#lease?.signal.aborted === false ? this.#lease.epoch : undefined;
  }

  /** Resolves when the first list is known. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /**
   * Calls the listener with the list now, if it is known, and with each new one.
   * @returns a function that ends the subscription
   */
  onChange(listener: (members: readonly Member<M>[]) => void): () => void {
    this.#listeners.add(listener);
    if (this.#children?.current !== undefined) listener(this.#members);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Replaces this member's metadata, also in later sessions. Resolves when it is written, or when
   * the session has ended.
   */
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
    // A join that was under way has finished by now, with or without a lease.
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
        // `onClose` has already looked for a lease. It waits for this method and then releases what
        // there is.
        if (this.closing.aborted) return;
        await this.#write(lease);
        await lease.ended;
      } catch (error) {
        if (!isEnd(error, this.closing)) this.#options.onFailed?.(error);
        return;
      }
    }
  }

  /**
   * Repeats until the node holds the latest metadata, or until the lease ends: the next node is
   * created with it.
   */
  async #write(lease: NodeLease): Promise<void> {
    const { signal } = lease;
    while (!signal.aborted && this.#written !== this.#metadata) {
      const content = this.#metadata;
      try {
        await this.zk.retry(async () => this.#writeOnce(lease, content), { signal });
        this.#written = content;
      } catch (error) {
        // A member has joined or left meanwhile, or an earlier attempt succeeded and its answer was
        // lost: look again.
        if (hasCode(error, 'zookeeper.bad_version')) continue;
        if (!signal.aborted && !hasCode(error, 'zookeeper.no_node', 'zookeeper.closed')) throw error;
        return;
      }
    }
  }

  /**
   * Writes only to the node that it has read. A process that replaces the node also raises the
   * version of the group's folder, which was read first. The version of the node alone proves
   * nothing, because another process's node starts from 0 too.
   * @throws ZooKeeperError `zookeeper.bad_version`, `zookeeper.no_node`: the node no longer belongs
   *   to this member
   */
  async #writeOnce(lease: NodeLease, content: M | undefined): Promise<void> {
    const [, group, { stat }] = await Promise.all([
      this.zk.sync(this.path),
      this.zk.exists(this.path),
      this.zk.getData(lease.path),
    ]);
    if (group === undefined || stat.czxid !== lease.epoch) {
      throw new ZooKeeperError('zookeeper.no_node', `${lease.path} belongs to another process`, {
        path: lease.path,
      });
    }
    await this.zk.multi([
      { type: 'check', path: this.path, version: group.version },
      { type: 'set', path: lease.path, data: encode({ guid: this.#guid, content }), version: stat.version },
    ]);
  }

  /**
   * Replaces, in one transaction, the node that an earlier process of this member has left: its
   * session has not ended yet, but its process is gone. The first join replaces any node of this
   * name; a later join replaces only a node that this process has made, because any other node
   * belongs to a later process.
   */
  async #replaceGhost(path: string, content: M | undefined): Promise<NodeLease | undefined> {
    try {
      const session = await this.zk.whenConnected({ signal: this.closing });
      const { data, stat: ghost } = await this.zk.getData(path);
      const mine = (decode(data) as { guid?: unknown } | undefined)?.guid === this.#guid;
      // An earlier create whose answer was lost.
      if (mine && ghost.ephemeralOwner === session.id) {
        return await NodeLease.confirm(this.zk, { path, epoch: ghost.czxid, session });
      }
      if (this.#hasJoined && !mine) {
        throw new ZooKeeperError('zookeeper.misused', `another process has joined ${path}`, { path });
      }
      await this.zk.multi([
        // Raises the folder's version, so that the servers refuse what the other process is about
        // to write.
        { type: 'set', path: this.path, data: Buffer.alloc(0) },
        { type: 'delete', path, version: ghost.version },
        { type: 'create', path, data: encode({ guid: this.#guid, content }), mode: 'ephemeral' },
      ]);
      // The next attempt finds the node and confirms it.
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

  /**
   * Waits until all members have been read: a list that grows one by one would look like members
   * joining.
   */
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
      // A node that another client put there is not a member.
      return [];
    }
  }
}
