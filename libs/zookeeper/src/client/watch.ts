/** Turns one-shot watches into a value that follows the node. */
import { hasCode, ZooKeeperError } from '../errors.ts';
import type { Watcher } from './types.ts';

/** What a watch needs of its client: to wait until the next read makes sense. */
export interface Reconnecting {
  /** Resolves when the client is connected; throws the reason of `signal`. */
  whenConnected(options: { signal: AbortSignal }): Promise<unknown>;
  /** Resolves when the call that failed with `error` may be repeated; throws if it may not. */
  pauseAfter(error: unknown): Promise<void>;
}

/**
 * Reads and sets a watch in the same request. Returns `undefined` if the result is already out of
 * date and must be read again.
 */
export type Read<T> = (changed: Watcher) => Promise<{ value: T } | undefined>;

/**
 * Follows the latest state of a node. The read that delivers a state also sets the watch, so no
 * state is missed between an event and the next read; intermediate states that were never read are
 * skipped. It survives lost connections and sessions.
 */
export class Watch<T> implements AsyncDisposable {
  readonly path: string;
  readonly #zk: Reconnecting;
  readonly #read: Read<T>;
  readonly #listeners = new Set<(value: T) => void>();
  readonly #closing = new AbortController();
  readonly #first = Promise.withResolvers<T>();
  #current: { value: T } | undefined;
  #fresh = false;
  #reads = 0;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  readonly #running: Promise<void>;

  constructor(zk: Reconnecting, path: string, read: Read<T>) {
    this.#zk = zk;
    this.path = path;
    this.#read = read;
    // A caller of `first` gets the failure; without one it must not count as an unhandled
    // rejection.
    this.#first.promise.catch(() => undefined);
    this.#running = this.#run();
  }

  /** The last known state, also during an outage; undefined before the first one. */
  get current(): { value: T } | undefined {
    return this.#current;
  }

  /**
   * True while a watch guards the state. False while connecting, and between an event and the next
   * read.
   */
  get fresh(): boolean {
    return this.#fresh;
  }

  /** How often the server was asked. */
  get reads(): number {
    return this.#reads;
  }

  /**
   * Resolves with the current state, or with the first one.
   * @throws what ended the watch
   */
  async first(): Promise<T> {
    return this.#current === undefined ? this.#first.promise : this.#current.value;
  }

  /**
   * Calls the listener with the state now, if there is one, and with every new state.
   * @returns a function that ends the subscription
   */
  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    if (this.#current !== undefined) listener(this.#current.value);
    return () => this.#listeners.delete(listener);
  }

  /** Yields each new state; a slow reader gets only the latest one. Ends with `close`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    let pending: { value: T } | undefined;
    let wake = Promise.withResolvers<undefined>();
    const stop = this.subscribe((value) => {
      pending = { value };
      wake.resolve(undefined);
    });
    const { signal } = this.#closing;
    const end = () => wake.resolve(undefined);
    signal.addEventListener('abort', end);
    try {
      while (!signal.aborted) {
        await wake.promise;
        wake = Promise.withResolvers();
        if (signal.aborted) break;
        const next = pending;
        pending = undefined;
        if (next !== undefined) yield next.value;
      }
    } finally {
      stop();
      signal.removeEventListener('abort', end);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The error that ended the watch, such as a missing right to read; undefined after `close`. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Stops following. The server's one-shot watch may stay until it fires; its event is ignored. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    this.#fresh = false;
    this.#listeners.clear();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#zk.whenConnected({ signal });
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted || hasCode(error, 'zookeeper.closed')) break;
        try {
          await this.#zk.pauseAfter(error);
        } catch {
          this.#failure = error instanceof Error ? error : new Error(String(error));
          this.#first.reject(error);
          this.#closing.abort(error);
        }
      }
    }
    this.#fresh = false;
    this.#first.reject(new ZooKeeperError('zookeeper.closed', `the watch on ${this.path} was closed`));
  }

  /** Reads once and waits until the result is out of date. */
  async #follow(signal: AbortSignal): Promise<void> {
    const changed = Promise.withResolvers<undefined>();
    this.#wake = () => changed.resolve(undefined);
    let guarded = true;
    this.#reads += 1;
    const state = await this.#read(() => {
      guarded = false;
      this.#fresh = false;
      this.#wake();
    });
    if (state === undefined || signal.aborted) return;
    // The event may arrive in the same packet as the answer, before this line runs.
    this.#fresh = guarded;
    this.#deliver(state);
    await changed.promise;
  }

  #deliver(state: { value: T }): void {
    this.#current = state;
    this.#first.resolve(state.value);
    for (const listener of [...this.#listeners]) {
      try {
        listener(state.value);
      } catch (error) {
        // An error in a listener is not an error of the watch: it surfaces as an uncaught
        // exception, and the watch continues for the other listeners.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
