/** One-shot watches made into a value that follows the node. */
import { hasCode, ZooKeeperError } from '../errors.ts';
import type { Watcher } from './types.ts';
import type { ZooKeeper } from './zookeeper.ts';

/** Reads and leaves a watch in the same request. `undefined`: what was read is out of date already, read again. */
export type Read<T> = (changed: Watcher) => Promise<{ value: T } | undefined>;

/**
 * The latest state of a node. The watch is set by the very read that delivers the state, so no state is missed between an event
 * and the next read; states in between that nobody has read are skipped. It works on through lost connections and sessions.
 */
export class Watch<T> implements AsyncDisposable {
  readonly path: string;
  readonly #zk: ZooKeeper;
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

  constructor(zk: ZooKeeper, path: string, read: Read<T>) {
    this.#zk = zk;
    this.path = path;
    this.#read = read;
    // Whoever asks for the first value hears of its failure; nobody has to ask.
    this.#first.promise.catch(() => undefined);
    this.#running = this.#run();
  }

  /** The last state known, which survives an outage; undefined before the first. */
  get current(): { value: T } | undefined {
    return this.#current;
  }

  /** True while a watch guards the state; false while connecting and between an event and the next read. */
  get fresh(): boolean {
    return this.#fresh;
  }

  /** How often the server was asked. */
  get reads(): number {
    return this.#reads;
  }

  /** The first state; the current one if there is one. @throws what ended the watch */
  async first(): Promise<T> {
    return this.#current === undefined ? this.#first.promise : this.#current.value;
  }

  /** Calls with the state now, if there is one, and with every new one. @returns what stops it */
  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    if (this.#current !== undefined) listener(this.#current.value);
    return () => this.#listeners.delete(listener);
  }

  /** Each new state; a slow reader sees the latest only. Ends with `close`. */
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

  /** What ended the watch, if it was not closed: a node that this client may not read, say. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Stops following. The server's one-shot watch may stay until it fires; nobody hears of it. */
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

  /** One read, and the wait for what ends its truth. */
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
    // The event may come in the same packet as the answer, and so before this line.
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
        // A fault of the listener's, not of the watch: it surfaces as uncaught, and the watch goes on for the others.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
