/** Configuration that changes while everybody runs. */
import { join } from '../client/paths.ts';
import { openAcl, readableAcl } from '../client/acl.ts';
import type { NodeData } from '../client/types.ts';
import type { Watch } from '../client/watch.ts';
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';
import { decode, encode } from './documents.ts';
import { Recipe } from './recipe.ts';

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
  /** `user:password`, for those who publish: only they can write then. The client has to have it in its `auth`. */
  adminSecret?: string;
  /** Somebody has published what does not parse; what held before holds on. */
  onRejected?: (error: ZooKeeperError) => void;
}

/**
 * One configuration document. Everybody reads it, follows it, and keeps the last good one through an outage; only who has the
 * admin secret can write or delete it. Whoever publishes says which version it replaces.
 */
export class DynamicConfig<T> extends Recipe {
  readonly #options: ConfigOptions<T>;
  readonly #listeners = new Set<(state: ConfigState<T>) => void>();
  #watch: Watch<NodeData | undefined> | undefined;
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

  /** Returns when it has been read once. */
  async ready(): Promise<void> {
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
    const path = this.#valuePath;
    try {
      return (await this.zk.setData(path, data, version)).version;
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node') || version !== undefined) throw error;
    }
    const { adminSecret } = this.#options;
    const acl = adminSecret === undefined ? openAcl : readableAcl(adminSecret);
    // The parent too: who may delete a node is decided there.
    await this.zk.ensurePath(this.path, acl);
    await this.zk.setAcl(this.path, acl);
    try {
      await this.zk.create(path, data, { acl });
      return 0;
    } catch (error) {
      if (!hasCode(error, 'zookeeper.node_exists')) throw error;
      return this.publish(value);
    }
  }

  protected override onStart(): void {
    this.#watch = this.zk.watchData(this.#valuePath);
    this.#watch.subscribe((node) => this.#take(node));
  }

  protected override async onClose(): Promise<void> {
    await this.#watch?.close();
  }

  get #valuePath(): string {
    return join(this.path, 'value');
  }

  #take(node: NodeData | undefined): void {
    if (node === undefined) {
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
