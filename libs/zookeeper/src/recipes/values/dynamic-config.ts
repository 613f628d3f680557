/** Configuration that changes while the processes run. */
import { messageOf } from '@thermomesh/runtime';
import { openAcl, readableAcl } from '../../client/acl.ts';
import { parentOf } from '../../client/paths.ts';
import type { NodeData } from '../../client/types.ts';
import type { Watch } from '../../client/watch.ts';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../../errors.ts';
import { decode, encode } from '../documents.ts';
import { documentPath, guardDocument } from './guarded-document.ts';
import { isEnd, Recipe } from '../recipe.ts';

/** A configuration and its version. */
export interface ConfigState<T> {
  value: T;
  /** Grows by one with each change; undefined for the static value, while no other is published. */
  version: number | undefined;
}

export interface ConfigOptions<T> {
  path: string;
  /**
   * Returns the value, or throws with the reason why it is invalid; for example
   * `(value) => Parse(Schema, value)` of TypeBox.
   */
  parse: (value: unknown) => T;
  /** The value that holds until one is published, and without ZooKeeper. */
  initial: T;
  /**
   * `user:password`: only its holder can write. The client must have it in its `auth`. `start`
   * guards the document before anything is published, and follows nothing that another client may
   * have written.
   */
  adminSecret?: string;
  /** A published value was invalid; the previous value stays in force. */
  onRejected?: (error: ZooKeeperError) => void;
  /**
   * The document cannot be followed: it belongs to someone without this secret, or may not be read.
   */
  onFailed?: (error: unknown) => void;
}

/**
 * One configuration document. All clients read and follow it and keep the last valid value through
 * an outage. Only the holder of the admin secret can write or delete it. A publisher names the
 * version that it replaces. An empty document means that nothing is published: it only keeps the
 * place.
 */
export class DynamicConfig<T> extends Recipe {
  readonly #options: ConfigOptions<T>;
  readonly #listeners = new Set<(state: ConfigState<T>) => void>();
  #watch: Watch<NodeData | undefined> | undefined;
  /** Settles when the document is guarded; the watch is set afterwards. */
  #following: Promise<void> | undefined;
  #current: ConfigState<T>;
  /**
   * The latest change that was looked at, valid or not. Versions start again with a new node,
   * transactions never do.
   */
  #seenZxid: bigint | undefined;

  constructor(zk: ZooKeeper, options: ConfigOptions<T>) {
    super(zk, options.path);
    this.#options = options;
    this.#current = { value: options.initial, version: undefined };
  }

  /** The last valid value. */
  get current(): ConfigState<T> {
    return this.#current;
  }

  /** False before the first read and during an outage. */
  get fresh(): boolean {
    return this.#watch?.fresh ?? false;
  }

  /**
   * Resolves when the document has been read once.
   * @throws ZooKeeperError `zookeeper.closed`, `zookeeper.no_auth`
   */
  async ready(): Promise<void> {
    this.assertStarted();
    await this.#following;
    await this.#watch?.first();
  }

  /**
   * Calls the listener with each new value.
   * @returns a function that ends the subscription
   */
  onChange(listener: (state: ConfigState<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Publishes a value.
   * @param version the version that it replaces, so that no change is overwritten unseen; omit it
   *   to replace any version
   * @returns the version of the new value
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
   * Publishes a first value, if none is published. Of several simultaneous calls one succeeds, and
   * none overwrites a value that was published since.
   * @returns whether this call published it
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

  /** @returns false if the document exists already */
  async #create(data: Buffer): Promise<boolean> {
    const { adminSecret } = this.#options;
    const acl = adminSecret === undefined ? openAcl : readableAcl(adminSecret);
    await this.zk.ensurePath(parentOf(this.path));
    // The folder needs the ACL too: it decides who may delete the document.
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
    if (!(await zk.retry(async () => guardDocument(zk, { path, adminSecret }), { signal }))) {
      throw new ZooKeeperError('zookeeper.no_auth', `${path} belongs to someone else, who may write it`, {
        path,
      });
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
      const which = version === undefined ? 'the value' : `version ${version}`;
      const message = `${this.path}: ${which} is not a valid configuration: ${messageOf(cause)}`;
      throw new ZooKeeperError('zookeeper.invalid_config', message, { path: this.path, cause });
    }
  }
}

/** True if the document only keeps the place. */
function isEmpty({ data }: NodeData): boolean {
  return data.length === 0;
}
