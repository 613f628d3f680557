/** The client: typed promises over one session after another. */
import { performance } from 'node:perf_hooks';
import { sleep } from '@thermomesh/runtime';
import { hasCode, isRetriable, ZooKeeperError } from '../errors.ts';
import { defaultZooKeeperLimits, limitIssues, type ZooKeeperLimits } from '../limits.ts';
import { openAcl } from './acl.ts';
import { CachedReads } from './cached-reads.ts';
import type { Connection } from './connection.ts';
import { anyVersion, fromLibraryAcl, modeFlags, toLibraryAcl, toStat } from './library.ts';
import { ancestorsOf, checkPath } from './paths.ts';
import type { SessionPhase } from './session-state.ts';
import { Session, type SessionListener } from './session.ts';
import { commit } from './transaction.ts';
import type {
  AclEntry,
  CreateMode,
  Credentials,
  NodeChildren,
  NodeData,
  Operation,
  OperationResult,
  SessionHandle,
  Stat,
  Watcher,
} from './types.ts';
import { Watch } from './watch.ts';
import { readsChildren, readsData } from './watched-reads.ts';

export interface ZooKeeperOptions {
  /** `host:port,host:port`, followed by `/path` if all paths are relative to that node. */
  hosts: string;
  /**
   * The requested timeout. The server grants a value between 2 and 20 of its ticks. Default 10 s.
   */
  sessionTimeoutMs?: number;
  auth?: readonly Credentials[];
  limits?: Partial<ZooKeeperLimits>;
  /** A monotonic clock in milliseconds. */
  nowMs?: () => number;
  /** Gets errors that belong to no call: unparsable bytes, an exception in a listener. */
  onError?: (error: unknown) => void;
}

export interface CreateOptions {
  mode?: CreateMode;
  acl?: readonly AclEntry[];
}

export interface WaitOptions {
  /** Default: no timeout. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const empty = Buffer.alloc(0);
/** Pause of a request that was refused because too many others are in flight. */
const busyPauseMs = 10;

/**
 * A client of one ensemble. It sends requests in the order of the calls and gets the answers in
 * that order. Without a connection it rejects requests at once (`zookeeper.not_connected`). A
 * request that is under way when the connection breaks is rejected as one that may have happened
 * (`applied: 'unknown'`). The client never repeats a request on its own.
 */
export class ZooKeeper {
  readonly limits: ZooKeeperLimits;
  readonly #session: Session;
  readonly #cached: CachedReads;
  #requests = 0;

  /** @throws RangeError if the limits are invalid */
  constructor(options: ZooKeeperOptions) {
    this.limits = { ...defaultZooKeeperLimits, ...options.limits };
    const sessionTimeoutMs = options.sessionTimeoutMs ?? 10_000;
    const issues = limitIssues(this.limits, sessionTimeoutMs);
    if (issues.length > 0) throw new RangeError(issues.join('; '));
    this.#session = new Session({
      hosts: options.hosts,
      sessionTimeoutMs,
      auth: options.auth ?? [],
      limits: this.limits,
      nowMs: options.nowMs ?? (() => performance.now()),
      onError: options.onError ?? ((error) => process.emitWarning(String(error), 'ZooKeeper')),
    });
    this.#cached = new CachedReads(this, this.limits.cachedPathsMax);
  }

  get phase(): SessionPhase {
    return this.#session.phase;
  }

  /** The session, while connected or suspended. */
  get session(): SessionHandle | undefined {
    return this.#session.handle;
  }

  get requestsInFlight(): number {
    return this.#session.requestsInFlight;
  }

  /** The number of requests so far, without pings. At rest it does not grow. */
  get requestsMade(): number {
    return this.#requests;
  }

  /** Starts to connect and keeps trying until `close`. Does not wait: see {@link whenConnected}. */
  start(): void {
    this.#session.start();
  }

  /** Ends the session, which deletes its ephemeral nodes at once. Idempotent. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** @returns a function that removes the listener */
  onPhase(listener: SessionListener): () => void {
    return this.#session.onChange(listener);
  }

  /**
   * True if the owner of this session may act on it now: the session was proven alive within the
   * last two thirds of its timeout.
   */
  mayAct(session: SessionHandle): boolean {
    return this.#session.mayAct(session);
  }

  /**
   * Resolves with the session once it is connected.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async whenConnected({ timeoutMs, signal }: WaitOptions = {}): Promise<SessionHandle> {
    signal?.throwIfAborted();
    if (this.phase === 'connected' && this.session !== undefined) return this.session;
    if (this.phase === 'closed') throw new ZooKeeperError('zookeeper.closed', 'the client is closed');
    const { promise, resolve, reject } = Promise.withResolvers<SessionHandle>();
    const stop = this.onPhase((phase, session) => {
      if (phase === 'connected' && session !== undefined) resolve(session);
      if (phase === 'closed') reject(new ZooKeeperError('zookeeper.closed', 'the client was closed'));
    });
    const late = () =>
      reject(new ZooKeeperError('zookeeper.timeout', `no connection within ${timeoutMs} ms`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    const aborted = () => reject(signal?.reason as Error);
    signal?.addEventListener('abort', aborted);
    try {
      return await promise;
    } finally {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    }
  }

  /**
   * Repeats the call until it succeeds, and waits for the connection in between. Use it for calls
   * that may be done twice: reads, deletes, sets with a version.
   * @throws the first error that is not retriable; `zookeeper.timeout`, `zookeeper.closed`; the
   *   signal's reason
   */
  async retry<T>(call: () => Promise<T>, { timeoutMs, signal }: WaitOptions = {}): Promise<T> {
    const late = new AbortController();
    const error = new ZooKeeperError('zookeeper.timeout', `no answer within ${timeoutMs} ms`);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => late.abort(error), timeoutMs);
    const both = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    try {
      for (;;) {
        await this.whenConnected({ signal: both });
        try {
          return await call();
        } catch (error) {
          await this.pauseAfter(error);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Resolves when a repetition makes sense, except that it does not wait for the connection.
   * @throws `error` if a repetition would not help
   */
  async pauseAfter(error: unknown): Promise<void> {
    if (!isRetriable(error)) throw error;
    if (hasCode(error, 'zookeeper.too_many_requests')) await sleep(busyPauseMs);
  }

  /**
   * @returns the path, which the server completes for a sequential node
   * @throws ZooKeeperError `zookeeper.node_exists`, `zookeeper.no_node` (no parent), …
   */
  async create(
    path: string,
    data: Buffer = empty,
    { mode = 'persistent', acl = openAcl }: CreateOptions = {},
  ): Promise<string> {
    const connection = this.#connection('create', path, data);
    return connection.request<string>('create', path, (callback) =>
      connection.client.create(path, data, toLibraryAcl(acl), modeFlags[mode], callback),
    );
  }

  /** @throws ZooKeeperError `zookeeper.no_node`, `zookeeper.bad_version`, `zookeeper.not_empty` */
  async delete(path: string, version = anyVersion): Promise<void> {
    const connection = this.#connection('delete', path);
    await connection.request('delete', path, (callback) => connection.client.remove(path, version, callback));
  }

  /** @param watch fires on creation, change and deletion */
  async exists(path: string, watch?: Watcher): Promise<Stat | undefined> {
    const connection = this.#connection('exists', path);
    const watcher = watch === undefined ? undefined : connection.watcher(watch);
    return connection.request<Stat | undefined>('exists', path, (callback) => {
      const done = (error: unknown, stat: Parameters<typeof toStat>[0] | null | undefined) => {
        if (error) return callback(error);
        watcher?.arm();
        callback(undefined, stat ? toStat(stat) : undefined);
      };
      if (watcher === undefined) connection.client.exists(path, done);
      else connection.client.exists(path, watcher.listener, done);
    });
  }

  /**
   * @param watch fires on change and deletion.
   * @throws ZooKeeperError `zookeeper.no_node`, and then no watch is set
   */
  async getData(path: string, watch?: Watcher): Promise<NodeData> {
    const connection = this.#connection('getData', path);
    const watcher = watch === undefined ? undefined : connection.watcher(watch);
    return connection.request<NodeData>('getData', path, (callback) => {
      const done = (error: unknown, data: Buffer | undefined, stat: Parameters<typeof toStat>[0]) => {
        if (error) return callback(error);
        watcher?.arm();
        callback(undefined, { data: data ?? empty, stat: toStat(stat) });
      };
      if (watcher === undefined) connection.client.getData(path, done);
      else connection.client.getData(path, watcher.listener, done);
    });
  }

  /**
   * @param watch fires when a child comes or goes, and on deletion.
   * @throws ZooKeeperError `zookeeper.no_node`
   */
  async getChildren(path: string, watch?: Watcher): Promise<NodeChildren> {
    const connection = this.#connection('getChildren', path);
    const watcher = watch === undefined ? undefined : connection.watcher(watch);
    return connection.request<NodeChildren>('getChildren', path, (callback) => {
      const done = (error: unknown, names: string[], stat: Parameters<typeof toStat>[0]) => {
        if (error) return callback(error);
        watcher?.arm();
        callback(undefined, { names: names.sort(), stat: toStat(stat) });
      };
      if (watcher === undefined) connection.client.getChildren(path, done);
      else connection.client.getChildren(path, watcher.listener, done);
    });
  }

  /** @throws ZooKeeperError `zookeeper.no_node`, `zookeeper.bad_version` */
  async setData(path: string, data: Buffer, version = anyVersion): Promise<Stat> {
    const connection = this.#connection('setData', path, data);
    return connection.request<Stat>('setData', path, (callback) =>
      connection.client.setData(path, data, version, (error, stat) =>
        error ? callback(error) : callback(undefined, toStat(stat)),
      ),
    );
  }

  async getAcl(path: string): Promise<{ acl: AclEntry[]; stat: Stat }> {
    const connection = this.#connection('getAcl', path);
    return connection.request('getAcl', path, (callback) =>
      connection.client.getACL(path, (error, acl, stat) =>
        error ? callback(error) : callback(undefined, { acl: fromLibraryAcl(acl), stat: toStat(stat) }),
      ),
    );
  }

  async setAcl(path: string, acl: readonly AclEntry[], aclVersion = anyVersion): Promise<Stat> {
    const connection = this.#connection('setAcl', path);
    return connection.request('setAcl', path, (callback) =>
      connection.client.setACL(path, toLibraryAcl(acl), aclVersion, (error, stat) =>
        error ? callback(error) : callback(undefined, toStat(stat)),
      ),
    );
  }

  /**
   * After it resolves, this client reads nothing older than what any client had written when it was
   * called.
   */
  async sync(path = '/'): Promise<void> {
    await this.#connection('sync', path).sync(path);
  }

  /**
   * Carries out all operations or none.
   * @throws ZooKeeperError the error of the first operation that failed
   */
  async multi(operations: readonly Operation[]): Promise<OperationResult[]> {
    for (const operation of operations)
      this.#check(operation.path, 'data' in operation ? operation.data : undefined);
    return commit(this.#connection('multi'), operations);
  }

  /** Creates the node and its missing ancestors, persistent and empty, in one round trip. */
  async ensurePath(path: string, acl: readonly AclEntry[] = openAcl): Promise<void> {
    if (path === '/') return;
    const made = await Promise.allSettled(
      [...ancestorsOf(path), path].map(async (each) => this.create(each, empty, { acl })),
    );
    // Only the last result counts: an existing ancestor may well refuse its creation.
    const last = made.at(-1);
    if (last?.status === 'rejected' && !hasCode(last.reason, 'zookeeper.node_exists')) throw last.reason;
  }

  /** Deletes a node and everything below it. Nodes that disappear meanwhile are ignored. */
  async deleteTree(path: string): Promise<void> {
    try {
      const { names } = await this.getChildren(path);
      await Promise.all(
        names.map(async (name) => this.deleteTree(path === '/' ? `/${name}` : `${path}/${name}`)),
      );
      await this.delete(path);
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node')) throw error;
    }
  }

  /**
   * Reads from memory as long as a watch guards the result. May be as stale as any read without
   * `sync`.
   */
  async cached(path: string): Promise<NodeData | undefined> {
    return this.#cached.data(path);
  }

  /**
   * Follows the data of a node through changes, deletions, creations and new sessions. `undefined`
   * means that there is no such node.
   */
  watchData(path: string): Watch<NodeData | undefined> {
    return new Watch(this, checkPath(path), readsData(this, path));
  }

  /** Follows the names of the children of a node. `undefined` means that there is no such node. */
  watchChildren(path: string): Watch<NodeChildren | undefined> {
    return new Watch(this, checkPath(path), readsChildren(this, path));
  }

  #connection(what: string, path?: string, data?: Buffer): Connection {
    if (path !== undefined) this.#check(path, data);
    this.#requests += 1;
    return this.#session.connection(what, path);
  }

  #check(path: string, data?: Buffer): void {
    checkPath(path);
    const { dataBytesMax } = this.limits;
    if (data !== undefined && data.length > dataBytesMax) {
      const message =
        `${path}: ${(data.length / 1024).toFixed(1)} KiB exceed the ${(dataBytesMax / 1024).toFixed(1)} KiB that a node may hold: ` +
        'ZooKeeper keeps all data in memory; store the content elsewhere and its address here';
      throw new ZooKeeperError('zookeeper.too_large', message, { path });
    }
  }
}
