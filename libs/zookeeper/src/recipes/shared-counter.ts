/** A number that everybody counts on. */
import { parentOf } from '../client/paths.ts';
import type { NodeData } from '../client/types.ts';
import type { Watch } from '../client/watch.ts';
import type { WaitOptions, ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';
import { Recipe } from './recipe.ts';

export interface CounterOptions {
  path: string;
  /** Before anybody has counted. */
  initial?: bigint;
}

/** The number, and the version of the node that says it. */
export interface CounterState {
  value: bigint;
  version: number;
}

/**
 * A counter of any size. `add` reads and writes under the version that was read; an `add` whose answer was lost is not done again
 * but reported as one that may have happened (`applied: 'unknown'`): only the caller knows whether counting twice would hurt.
 */
export class SharedCounter extends Recipe {
  readonly #initial: bigint;
  #watch: Watch<NodeData | undefined> | undefined;

  constructor(zk: ZooKeeper, { path, initial = 0n }: CounterOptions) {
    super(zk, path);
    this.#initial = initial;
  }

  /** As known last; undefined before the first read. May be late: `read` is not. */
  get value(): bigint | undefined {
    const known = this.#watch?.current;
    return known === undefined ? undefined : this.#stateOf(known.value).value;
  }

  /** Called with each new value that this client sees. @returns what stops it */
  onChange(listener: (value: bigint) => void): () => void {
    this.assertStarted();
    return this.#watch?.subscribe((node) => listener(this.#stateOf(node).value)) ?? (() => undefined);
  }

  /** Nothing older than what was written when it was called. */
  async read(): Promise<CounterState> {
    const [, node] = await Promise.all([this.zk.sync(this.path), this.#node()]);
    return this.#stateOf(node);
  }

  /**
   * Writes `value` if nobody has counted since `version`.
   * @throws ZooKeeperError `zookeeper.bad_version`
   */
  async compareAndSet({ version, value }: CounterState): Promise<CounterState> {
    const data = Buffer.from(String(value));
    if (version >= 0) return { value, version: (await this.zk.setData(this.path, data, version)).version };
    try {
      await this.zk.ensurePath(parentOf(this.path));
      await this.zk.create(this.path, data);
      return { value, version: 0 };
    } catch (error) {
      if (!hasCode(error, 'zookeeper.node_exists')) throw error;
      const message = `${this.path}: somebody has counted`;
      throw new ZooKeeperError('zookeeper.bad_version', message, { path: this.path, cause: error });
    }
  }

  /**
   * Adds, as often as somebody else was faster, and while there is no connection.
   * @returns what it came to
   * @throws ZooKeeperError with `applied: 'unknown'` if the answer was lost
   */
  async add(delta: bigint, options: WaitOptions = {}): Promise<CounterState> {
    this.assertStarted();
    return this.zk.retry(async () => {
      for (;;) {
        const { value, version } = await this.read();
        try {
          return await this.compareAndSet({ value: value + delta, version });
        } catch (error) {
          if (hasCode(error, 'zookeeper.bad_version')) continue;
          if (!hasCode(error, 'zookeeper.connection_loss')) throw error;
          // Not retriable any more: the caller decides.
          throw new ZooKeeperError(
            'zookeeper.unexpected',
            `${this.path}: it may or may not have been counted`,
            {
              path: this.path,
              cause: error,
              applied: 'unknown',
            },
          );
        }
      }
    }, options);
  }

  protected override onStart(): void {
    this.#watch = this.zk.watchData(this.path);
  }

  protected override async onClose(): Promise<void> {
    await this.#watch?.close();
  }

  async #node(): Promise<NodeData | undefined> {
    try {
      return await this.zk.getData(this.path);
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  #stateOf(node: NodeData | undefined): CounterState {
    if (node === undefined) return { value: this.#initial, version: -1 };
    const text = node.data.toString();
    if (!/^-?[0-9]+$/.test(text)) {
      throw new ZooKeeperError('zookeeper.unexpected', `${this.path} holds no number`, { path: this.path });
    }
    return { value: BigInt(text), version: node.stat.version };
  }
}
