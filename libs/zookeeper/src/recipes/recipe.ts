/** The lifecycle that all recipes share. */
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';

export type RecipeState = 'latent' | 'started' | 'closed';

/**
 * A recipe is latent until `start` and closed after `close`, finally. `close` releases what the
 * recipe holds in ZooKeeper; if the process dies, the server does.
 */
export abstract class Recipe implements AsyncDisposable {
  protected readonly zk: ZooKeeper;
  readonly path: string;
  readonly #closing = new AbortController();
  #state: RecipeState = 'latent';
  #closed: Promise<void> | undefined;

  constructor(zk: ZooKeeper, path: string) {
    this.zk = zk;
    this.path = path;
  }

  get state(): RecipeState {
    return this.#state;
  }

  /** Aborted by `close`. */
  protected get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** @throws ZooKeeperError `zookeeper.misused` if it was started before */
  start(): this {
    if (this.#state !== 'latent') throw this.#misused('can be started only once');
    this.#state = 'started';
    this.onStart();
    return this;
  }

  /** Releases what is held and ends what waits. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed === undefined) {
      const wasStarted = this.#state === 'started';
      this.#state = 'closed';
      this.#closing.abort(new ZooKeeperError('zookeeper.closed', `${this.path}: the recipe was closed`));
      this.#closed = wasStarted ? this.onClose() : Promise.resolve();
    }
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @throws ZooKeeperError `zookeeper.misused` unless the recipe is started */
  protected assertStarted(): void {
    if (this.#state !== 'started') throw this.#misused(`is ${this.#state}`);
  }

  protected abstract onStart(): void;
  protected abstract onClose(): Promise<void>;

  #misused(what: string): ZooKeeperError {
    return new ZooKeeperError('zookeeper.misused', `${this.path}: a recipe ${what}`, { path: this.path });
  }
}

/** True for an error that only says that the recipe or its client was closed. */
export function isEnd(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted || hasCode(error, 'zookeeper.closed');
}
