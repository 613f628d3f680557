/** Configuration that changes while everybody runs. */
import { openAcl, readableAcl } from '../client/acl.ts';
import { parentOf } from '../client/paths.ts';
import type { NodeData } from '../client/types.ts';
import type { Watch } from '../client/watch.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';
import { decode, encode } from './documents.ts';
import { documentPath, guardDocument } from './guarded-document.ts';
import { isEnd, Recipe } from './recipe.ts';

/** A configuration, and which one it is. */
export interface ConfigState<T> {
  value: T;
  /** Grows by one per change; undefined for the static value, while nobody has published another. */
  version: number | undefined;
}

export interface ConfigOptions<T> {
  path: string;
  /** Returns the value, or throws saying what is wrong: `(value) => Parse(Schema, value)` of TypeBox, say. */
  parse: (value: unknown) => T;
  /** What holds until something is published, and without ZooKeeper. */
  initial: T;
  /**
   * `user:password`: only who has it can write. The client has to have it in its `auth`. `start` sees to it that this is so before anything
   * is published, and follows nothing that somebody else may have written.
   */
  adminSecret?: string;
  /** Somebody has published what does not parse; what held before holds on. */
  onRejected?: (error: ZooKeeperError) => void;
  /** It cannot be followed: the document belongs to somebody who has not this secret, or may not be read. */
  onFailed?: (error: unknown) => void;
}

/**
 * One configuration document. Everybody reads it, follows it, and keeps the last good one through an outage; only who has the
 * admin secret can write or delete it. Whoever publishes says which version it replaces. A document without content is none: it only
 * keeps the place.
 */
export class DynamicConfig<T> extends Recipe {
  readonly #options: ConfigOptions<T>;
  readonly #listeners = new Set<(state: ConfigState<T>) => void>();
  #watch: Watch<NodeData | undefined> | undefined;
  /** The watch is not set before it is sure who can write. */
  #following: Promise<void> | undefined;
  #current: ConfigState<T>;
  /** The change that was looked at last, good or not; versions start again with a new node, transactions never do. */
  #seenZxid: bigint | undefined;

  constructor(zk: ZooKeeper, options: ConfigOptions<T>) {
    super(zk, options.path);
    this.#options = options;
    this.#current = { value: options.initial, version: undefined };
  }

  /** The last good one. */
  get current(): ConfigState<T> {
    return this.#current;
  }

  /** False before the first read and during an outage. */
  get fresh(): boolean {
    return this.#watch?.fresh ?? false;
  }

  /** Returns when it has been read once. @throws ZooKeeperError `zookeeper.closed`, `zookeeper.no_auth` */
  async ready(): Promise<void> {
    this.assertStarted();
    await this.#following;
    await this.#watch?.first();
  }

  /** Called with each new one. @returns what stops it */
  onChange(listener: (state: ConfigState<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Publishes another one.
   * @param version of the one that it replaces, so that nobody's change is overwritten unseen; left out, any
   * @returns its version
   * @throws ZooKeeperError `zookeeper.invalid_config`, `zookeeper.bad_version`, `zookeeper.no_auth`
   */
  async publish(value: T, version?: number): Promise<number> {
    const data = encode(this.#checked(value, undefined));
    try {
      return (await this.zk.setData(this.#valuePath, data, version)).version;
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node') || version !== undefined) throw error;
    }
    return (await this.#create(data)) ? 0 : this.publish(value);
  }

  /**
   * Publishes what shall hold at first, and only if nothing has been published: however many do so at once, one does it, and none of
   * them undoes what somebody has published since.
   * @returns whether it did
   * @throws ZooKeeperError `zookeeper.invalid_config`, `zookeeper.no_auth`
   */
  async seed(value: T): Promise<boolean> {
    const data = encode(this.#checked(value, undefined));
    for (;;) {
      try {
        const [, node] = await Promise.all([this.zk.sync(this.path), this.zk.getData(this.#valuePath)]);
        if (!isEmpty(node)) return false;
        await this.zk.setData(this.#valuePath, data, node.stat.version);
        return true;
      } catch (error) {
        if (hasCode(error, 'zookeeper.no_node')) {
          if (await this.#create(data)) return true;
        } else if (!hasCode(error, 'zookeeper.bad_version')) throw error;
      }
    }
  }

  protected override onStart(): void {
    const { adminSecret } = this.#options;
    if (adminSecret === undefined) this.#follow();
    else {
      this.#following = this.#guardAndFollow(adminSecret);
      this.#following.catch((error: unknown) => {
        if (!isEnd(error, this.closing)) this.#options.onFailed?.(error);
      });
    }
  }

  protected override async onClose(): Promise<void> {
    await this.#following?.catch(() => undefined);
    await this.#watch?.close();
  }

  get #valuePath(): string {
    return documentPath(this.path);
  }

  /** @returns false if it is there already */
  async #create(data: Buffer): Promise<boolean> {
    const { adminSecret } = this.#options;
    const acl = adminSecret === undefined ? openAcl : readableAcl(adminSecret);
    await this.zk.ensurePath(parentOf(this.path));
    // The folder too: who may delete a node is decided there.
    await this.zk.create(this.path, undefined, { acl }).catch(async (error: unknown) => {
      if (!hasCode(error, 'zookeeper.node_exists')) throw error;
      await this.zk.setAcl(this.path, acl);
    });
    try {
      await this.zk.create(this.#valuePath, data, { acl });
      return true;
    } catch (error) {
      if (hasCode(error, 'zookeeper.node_exists')) return false;
      throw error;
    }
  }

  async #guardAndFollow(adminSecret: string): Promise<void> {
    const { zk, path, closing: signal } = this;
    if (!(await zk.retry(async () => guardDocument(zk, path, adminSecret), { signal }))) {
      throw new ZooKeeperError('zookeeper.no_auth', `${path} is somebody else's to write`, { path });
    }
    if (!signal.aborted) this.#follow();
  }

  #follow(): void {
    this.#watch = this.zk.watchData(this.#valuePath);
    this.#watch.subscribe((node) => this.#take(node));
    this.#watch.first().catch((error: unknown) => {
      if (!isEnd(error, this.closing)) this.#options.onFailed?.(error);
    });
  }

  #take(node: NodeData | undefined): void {
    if (node === undefined || isEmpty(node)) {
      if (this.#current.version !== undefined)
        this.#change({ value: this.#options.initial, version: undefined });
      return;
    }
    const { version, mzxid } = node.stat;
    if (mzxid === this.#seenZxid) return;
    this.#seenZxid = mzxid;
    try {
      this.#change({ value: this.#checked(decode(node.data), version), version });
    } catch (error) {
      if (!hasCode(error, 'zookeeper.invalid_config')) throw error;
      this.#options.onRejected?.(error);
    }
  }

  #change(state: ConfigState<T>): void {
    this.#current = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  #checked(value: unknown, version: number | undefined): T {
    try {
      return this.#options.parse(value);
    } catch (cause) {
      const which = version === undefined ? 'it' : `version ${version}`;
      const message = `${this.path}: ${which} is no valid configuration: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new ZooKeeperError('zookeeper.invalid_config', message, { path: this.path, cause });
    }
  }
}

/** Only keeps the place. */
function isEmpty({ data }: NodeData): boolean {
  return data.length === 0;
}
