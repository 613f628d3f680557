/** The life that all recipes share. */
import type { ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../errors.ts';

export type RecipeState = 'latent' | 'started' | 'closed';

/**
 * Latent until `start`, closed for good after `close`. What a recipe holds in ZooKeeper is given up by `close`, and by the server
 * when the process dies.
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
    if (this.#state !== 'latent') throw this.#misused('is started once');
    this.#state = 'started';
    this.onStart();
    return this;
  }

  /** Gives up what is held, and ends what waits. Idempotent. */
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

  /** Throws unless it is started. */
  protected assertStarted(): void {
    if (this.#state !== 'started') throw this.#misused(`is ${this.#state}`);
  }

  protected abstract onStart(): void;
  protected abstract onClose(): Promise<void>;

  #misused(what: string): ZooKeeperError {
    return new ZooKeeperError('zookeeper.misused', `${this.path}: a recipe ${what}`, { path: this.path });
  }
}

/** True for what a closed recipe or client makes of whatever was under way. */
export function isEnd(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted || hasCode(error, 'zookeeper.closed');
}

/** Waits for the promise, or throws the signal's reason. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
