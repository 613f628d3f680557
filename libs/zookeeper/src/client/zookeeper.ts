/** The client: typed promises over one session after another. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, isRetriable, ZooKeeperError } from '../errors.ts';
import { defaultZooKeeperLimits, limitFaults, type ZooKeeperLimits } from '../limits.ts';
import { openAcl } from './acl.ts';
import { CachedReads } from './cached-reads.ts';
import type { Connection } from './connection.ts';
import { fromLibraryAcl, modeFlags, toLibraryAcl, toStat, toZooKeeperError } from './library.ts';
import { ancestorsOf, checkPath } from './paths.ts';
import type { SessionPhase } from './session-state.ts';
import { Session, type SessionListener } from './session.ts';
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
import { Watch, type Read } from './watch.ts';

export interface ZooKeeperOptions {
  /** `host:port,host:port`, with `/path` behind it if everything shall happen below that node. */
  hosts: string;
  /** What is asked for; the server grants something between 2 and 20 of its ticks. */
  sessionTimeoutMs?: number;
  auth?: readonly Credentials[];
  limits?: Partial<ZooKeeperLimits>;
  /** Milliseconds that never go back. */
  nowMs?: () => number;
  /** What is nobody's answer: bytes that make no sense, a listener that threw. */
  onFault?: (error: unknown) => void;
}

export interface CreateOptions {
  mode?: CreateMode;
  acl?: readonly AclEntry[];
}

export interface WaitOptions {
  /** Without it, waits for ever. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const empty = Buffer.alloc(0);
const anyVersion = -1;
/** How long a request waits that found too many others before it. */
const busyPauseMs = 10;

/**
 * A client of one ensemble. Requests are sent in the order of the calls and answered in that order; while there is no connection
 * they are refused at once (`zookeeper.not_connected`), and a request under way when it breaks is refused as one that may have
 * happened (`applied: 'unknown'`). Nothing is tried again behind the caller's back.
 */
export class ZooKeeper {
  readonly limits: ZooKeeperLimits;
  readonly #session: Session;
  readonly #cached: CachedReads;
  #requests = 0;

  /** @throws RangeError if limits do not fit */
  constructor(options: ZooKeeperOptions) {
    this.limits = { ...defaultZooKeeperLimits, ...options.limits };
    const sessionTimeoutMs = options.sessionTimeoutMs ?? 10_000;
    const faults = limitFaults(this.limits, sessionTimeoutMs);
    if (faults.length > 0) throw new RangeError(faults.join('; '));
    this.#session = new Session({
      hosts: options.hosts,
      sessionTimeoutMs,
      auth: options.auth ?? [],
      limits: this.limits,
      nowMs: options.nowMs ?? (() => performance.now()),
      onFault: options.onFault ?? ((error) => process.emitWarning(String(error), 'ZooKeeper')),
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

  /** How many requests this client has made so far, pings apart. At rest it stands still. */
  get requestsMade(): number {
    return this.#requests;
  }

  /** Begins to connect, and goes on for ever. Does not wait: see {@link whenConnected}. */
  start(): void {
    this.#session.start();
  }

  /** Ends the session, which frees its ephemeral nodes at once. Idempotent. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** @returns what stops the listening */
  onPhase(listener: SessionListener): () => void {
    return this.#session.onChange(listener);
  }

  /** True if what this session owns may be acted on at this moment: proven alive within two thirds of its timeout. */
  mayAct(session: SessionHandle): boolean {
    return this.#session.mayAct(session);
  }

  /** The session once it is connected. @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason */
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
   * Calls until it succeeds, waiting for the connection in between. For what may be done twice: reads, deletes, sets with a
   * version. Errors that are not retriable end it.
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

  /** Returns when it makes sense to try again, apart from waiting for the connection; throws what no trying helps against. */
  async pauseAfter(error: unknown): Promise<void> {
    if (!isRetriable(error)) throw error;
    if (hasCode(error, 'zookeeper.too_many_requests')) await delay(busyPauseMs);
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

  /** @param watch fires on change and deletion. @throws ZooKeeperError `zookeeper.no_node`, and then no watch is set */
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

  /** @param watch fires when a child comes or goes, and on deletion. @throws ZooKeeperError `zookeeper.no_node` */
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

  /** Afterwards this client reads nothing older than what anybody had written when it was called. */
  async sync(path = '/'): Promise<void> {
    await this.#connection('sync', path).sync(path);
  }

  /** All of it or nothing. @throws ZooKeeperError the fault of the first part that failed */
  async multi(operations: readonly Operation[]): Promise<OperationResult[]> {
    const connection = this.#connection('multi');
    const transaction = connection.transaction();
    for (const operation of operations) {
      this.#check(operation.path, 'data' in operation ? operation.data : undefined);
      switch (operation.type) {
        case 'create': {
          const { path, data = empty, acl = openAcl, mode = 'persistent' } = operation;
          transaction.create(path, data, toLibraryAcl(acl), modeFlags[mode]);
          continue;
        }
        case 'delete':
          transaction.remove(operation.path);
          break;
        case 'set':
          transaction.setData(operation.path, operation.data);
          break;
        case 'check':
          transaction.check(operation.path);
          break;
      }
      // The library takes version 0 for "any": set behind its back.
      const last = transaction.ops.at(-1);
      if (last !== undefined) last.version = operation.version ?? anyVersion;
    }
    const paths = operations.map(({ path }) => path).join(' ');
    return connection.request<OperationResult[]>('multi', paths, (callback) =>
      transaction.commit((error, results: { path?: string; stat?: Parameters<typeof toStat>[0] }[]) => {
        if (error) return callback(toZooKeeperError(error, 'multi', paths));
        const readable = results.map(({ path, stat }) => ({
          ...(path === undefined ? {} : { path }),
          ...(stat === undefined ? {} : { stat: toStat(stat) }),
        }));
        callback(undefined, readable);
      }),
    );
  }

  /** Makes the node and its ancestors, persistent and empty, as far as they are missing; one round trip. */
  async ensurePath(path: string, acl: readonly AclEntry[] = openAcl): Promise<void> {
    if (path === '/') return;
    const made = await Promise.allSettled(
      [...ancestorsOf(path), path].map(async (each) => this.create(each, empty, { acl })),
    );
    // Only the last one counts: an ancestor that exists may well refuse its creation.
    const last = made.at(-1);
    if (last?.status === 'rejected' && !hasCode(last.reason, 'zookeeper.node_exists')) throw last.reason;
  }

  /** Deletes a node and everything below it; what vanishes meanwhile is fine. */
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

  /** A read that is answered from memory as long as a watch guards it. May be as stale as any read without `sync`. */
  async cached(path: string): Promise<NodeData | undefined> {
    return this.#cached.data(path);
  }

  /** Follows the data of a node through changes, deletions, creations and new sessions. `undefined`: there is no such node. */
  watchData(path: string): Watch<NodeData | undefined> {
    const read: Read<NodeData | undefined> = async (changed) => {
      try {
        return { value: await this.getData(path, changed) };
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
        // It may be there by now; then the watch guards a node that has to be read once more.
        return (await this.exists(path, changed)) === undefined ? { value: undefined } : undefined;
      }
    };
    return new Watch(this, checkPath(path), read);
  }

  /** Follows the names of the children of a node. `undefined`: there is no such node. */
  watchChildren(path: string): Watch<NodeChildren | undefined> {
    const read: Read<NodeChildren | undefined> = async (changed) => {
      try {
        return { value: await this.getChildren(path, changed) };
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
        return (await this.exists(path, changed)) === undefined ? { value: undefined } : undefined;
      }
    };
    return new Watch(this, checkPath(path), read);
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
        `${path}: ${(data.length / 1024).toFixed(1)} KiB are more than the ${(dataBytesMax / 1024).toFixed(1)} KiB that a node may hold: ` +
        'ZooKeeper keeps everything in memory; store the content elsewhere and its address here';
      throw new ZooKeeperError('zookeeper.too_large', message, { path });
    }
  }
}
