/**
 * One client object of the library: at most one session, over any number of TCP connections. This
 * file works around these defects of the library:
 *
 * - It never notices a silent server. Every answer is reported with the time at which its request
 *   was sent.
 * - It reads the rest of a broken connection as the start of the next one, parses n frames of a
 *   chunk in n nested calls, and throws out of the socket's handler on an unknown error code. This
 *   file gives it whole frames, one at a time.
 * - It sets watches again after a reconnect without telling the caller. Every watch fires
 *   `unlinked`, and a caller that needs the state reads again.
 * - It keeps unsent requests over a reconnect, sends them before the credentials, and forgets them
 *   when the session expires. Every request that has no answer when the connection breaks is
 *   rejected as one that may have happened.
 * - It reads version 0 in a multi as "any", has no `sync`, and its `close` throws or hangs before
 *   the connection is established.
 */
import { once } from 'node:events';
import { sleep } from '@thermomesh/runtime';
import type { Client, Event } from 'node-zookeeper-client';
import { ZooKeeperError } from '../errors.ts';
import type { ZooKeeperLimits } from '../limits.ts';
import { FrameSplitter } from './frames.ts';
import {
  createLibraryClient,
  isAnswer,
  managerState,
  syncRequest,
  toWatchEvent,
  toZooKeeperError,
  type LibraryTransaction,
  type Manager,
} from './library.ts';
import type { Credentials, Watcher } from './types.ts';

export interface ConnectionOptions {
  hosts: string;
  sessionTimeoutMs: number;
  auth: readonly Credentials[];
  limits: ZooKeeperLimits;
  /**
   * The last transaction that the previous session saw. A server that has not reached it refuses
   * this session.
   */
  seenZxid: Buffer | undefined;
  nowMs: () => number;
}

/** What happens to a connection. The callbacks run at once, in the order of the events. */
export interface ConnectionEvents {
  dialled(): void;
  linked(session: { id: bigint; timeoutMs: number; sentAtMs: number }): void;
  answered(sentAtMs: number): void;
  unlinked(): void;
  expired(): void;
  refused(): void;
  /** The library cannot parse what the server sent. The connection is closed. */
  garbled(error: unknown): void;
}

export type Callback<T> = (error: unknown, value?: T) => void;

interface Waiting {
  sentAtMs: number;
  what: string;
  path: string | undefined;
  reject: (error: ZooKeeperError) => void;
}

const pingXid = -2;
const libraryTypes = ['dataWatchers', 'childWatchers', 'existenceWatchers'] as const;

/** The life of a connection. `gone`: it is closed, or being closed, and dials no more. */
type ConnectionPhase = 'dialing' | 'linked' | 'gone';

export class Connection {
  readonly client: Client;
  readonly #manager: Manager;
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #waiting = new Set<Waiting>();
  readonly #armed = new Set<Watcher>();
  #pingsSentAtMs: number[] = [];
  #splitter: FrameSplitter;
  #handshakeSentAtMs = 0;
  #phase: ConnectionPhase = 'dialing';
  #dialsSinceLink = 0;
  #redial: NodeJS.Timeout | undefined;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#splitter = new FrameSplitter(options.limits.frameBytesMax);
    const { client, manager } = createLibraryClient(options.hosts, options.sessionTimeoutMs);
    this.client = client;
    this.#manager = manager;
    for (const { scheme, secret } of options.auth) client.addAuthInfo(scheme, Buffer.from(secret));
    if (options.seenZxid !== undefined) manager.zxid = options.seenZxid;
    this.#mend();
  }

  /** The last transaction that this session has seen. */
  get seenZxid(): Buffer {
    return this.#manager.zxid;
  }

  get requestsInFlight(): number {
    return this.#waiting.size;
  }

  connect(): void {
    this.client.connect();
  }

  /** Breaks the TCP connection. The library dials the next server. */
  drop(): void {
    const { connectTimeoutHandler, socket } = this.#manager;
    // The library would leave this timer running and destroy the next socket with it.
    if (connectTimeoutHandler !== null) clearTimeout(connectTimeoutHandler);
    socket?.destroy();
  }

  /**
   * Ends the session if the server can be reached in time, and closes the connection in any case.
   * Never rejects.
   */
  async close(): Promise<void> {
    if (this.#phase === 'gone') return;
    const { socket } = this.#manager;
    const tell = this.#phase === 'linked' && socket !== undefined && !socket.destroyed;
    this.#phase = 'gone';
    if (tell) {
      const closed = new AbortController();
      this.client.close();
      const timeout = sleep(this.#options.limits.closeTimeoutMs, closed.signal);
      await Promise.race([once(socket, 'close', closed), timeout]).catch(() => undefined);
      closed.abort();
      await timeout;
    }
    this.#unlink();
    this.#dispose();
  }

  /**
   * Sends one request of the library.
   * @param invoke gets the callback that the library must call
   * @throws ZooKeeperError
   */
  request<T>(what: string, path: string | undefined, invoke: (callback: Callback<T>) => void): Promise<T> {
    const { requestsInFlightMax } = this.#options.limits;
    if (this.#phase !== 'linked') {
      return Promise.reject(
        new ZooKeeperError('zookeeper.not_connected', `${what}: not connected`, { path }),
      );
    }
    if (this.#waiting.size >= requestsInFlightMax) {
      const message = `${what}: ${requestsInFlightMax} requests wait for an answer`;
      return Promise.reject(new ZooKeeperError('zookeeper.too_many_requests', message, { path }));
    }
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = { sentAtMs: this.#options.nowMs(), what, path, reject };
      this.#waiting.add(waiting);
      try {
        invoke((error, value) => {
          if (!this.#waiting.delete(waiting)) return;
          if (error === null || error === undefined) resolve(value as T);
          else reject(toZooKeeperError(error, what, path));
          if (isAnswer(error)) this.#events.answered(waiting.sentAtMs);
        });
      } catch (error) {
        this.#waiting.delete(waiting);
        reject(toZooKeeperError(error, what, path));
      }
    });
  }

  /** A multi in which version 0 means version 0. */
  transaction(): LibraryTransaction {
    return this.client.transaction() as LibraryTransaction;
  }

  sync(path: string): Promise<void> {
    return this.request<undefined>('sync', path, (callback) => {
      this.#manager.queue(syncRequest(path), (error) => callback(error));
    }).then(() => undefined);
  }

  /**
   * Returns a watcher for the library and `arm`, which the caller calls when the answer shows that
   * the server set the watch. An armed watcher fires once: on the event, or when the connection
   * breaks.
   */
  watcher(watch: Watcher): { listener: (event: Event) => void; arm: () => void } {
    // Each call needs its own function: the library drops a second registration of the same one.
    const once: Watcher = (event) => watch(event);
    return {
      arm: () => this.#armed.add(once),
      listener: (event) => {
        if (this.#armed.delete(once)) once(toWatchEvent(event));
      },
    };
  }

  #mend(): void {
    const manager = this.#manager;
    const library = {
      onSocketData: manager.onSocketData.bind(manager),
      onSocketConnected: manager.onSocketConnected.bind(manager),
      onSocketTimeout: manager.onSocketTimeout.bind(manager),
    };
    manager.onSocketData = (chunk) => this.#read(chunk, library.onSocketData);
    manager.onSocketConnected = () => {
      this.#handshakeSentAtMs = this.#options.nowMs();
      library.onSocketConnected();
    };
    manager.onSocketTimeout = () => {
      if (this.#phase === 'linked') this.#pingsSentAtMs.push(this.#options.nowMs());
      library.onSocketTimeout();
    };
    manager.findNextServer = (callback) => this.#nextServer(callback);
    manager.on('state', (state) => this.#onState(state));
  }

  #read(chunk: Buffer, library: (frame: Buffer) => void): void {
    const { socket } = this.#manager;
    try {
      for (const frame of this.#splitter.push(chunk)) {
        if (socket?.destroyed === true) return;
        this.#notePing(frame);
        library(frame);
      }
    } catch (error) {
      if (this.#phase !== 'gone') this.#events.garbled(error);
      this.drop();
    }
  }

  #notePing(frame: Buffer): void {
    if (this.#phase !== 'linked' || frame.length < 8 || frame.readInt32BE(4) !== pingXid) return;
    const sentAtMs = this.#pingsSentAtMs.shift();
    if (sentAtMs !== undefined) this.#events.answered(sentAtMs);
  }

  /**
   * Dials every server once without delay, then pauses for a random time, so that clients that lost
   * the same server do not reconnect all at once.
   */
  #nextServer(callback: (server: { host: string; port: number | string }) => void): void {
    const manager = this.#manager;
    const round = this.#dialsSinceLink > 0 && this.#dialsSinceLink % manager.servers.length === 0;
    const pauseMs = round ? Math.ceil(Math.random() * this.#options.limits.redialDelayMsMax) : 0;
    this.#dialsSinceLink += 1;
    this.#redial = setTimeout(() => {
      manager.nextServerIndex %= manager.servers.length;
      const server = manager.servers[manager.nextServerIndex];
      manager.nextServerIndex += 1;
      if (server === undefined || this.#phase === 'gone') return;
      this.#events.dialled();
      callback(server);
    }, pauseMs);
  }

  #onState(state: number): void {
    switch (state) {
      case managerState.connected:
      case managerState.connectedReadOnly:
        return this.#link();
      case managerState.disconnected:
      case managerState.closed:
        return this.#unlink();
      case managerState.expired:
        if (this.#phase !== 'gone') this.#events.expired();
        return;
      case managerState.authFailed:
        if (this.#phase !== 'gone') this.#events.refused();
        return;
    }
  }

  #link(): void {
    if (this.#phase === 'gone') return;
    this.#phase = 'linked';
    this.#dialsSinceLink = 0;
    this.#pingsSentAtMs = [];
    const id = this.client.getSessionId().readBigInt64BE();
    this.#events.linked({
      id,
      timeoutMs: this.client.getSessionTimeout(),
      sentAtMs: this.#handshakeSentAtMs,
    });
  }

  #unlink(): void {
    const manager = this.#manager;
    this.#splitter = new FrameSplitter(this.#options.limits.frameBytesMax);
    manager.pendingBuffer = null;
    manager.packetQueue.queue.length = 0;
    for (const type of libraryTypes) manager.watcherManager[type] = {};
    if (this.#phase !== 'gone') {
      this.#phase = 'dialing';
      this.#events.unlinked();
    }
    for (const { what, path, reject } of this.#waiting) {
      const message = `${what}: the connection broke before the answer`;
      reject(new ZooKeeperError('zookeeper.connection_loss', message, { path, applied: 'unknown' }));
    }
    this.#waiting.clear();
    const armed = [...this.#armed];
    this.#armed.clear();
    for (const watch of armed) watch('unlinked');
  }

  #dispose(): void {
    clearTimeout(this.#redial);
    // Only in this state does the library not dial again when its socket closes.
    this.#manager.state = managerState.closing;
    this.drop();
  }
}
