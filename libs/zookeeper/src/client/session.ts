/** Runs the pure session machine with the library and the clock. */
import { ZooKeeperError } from '../errors.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import {
  initialSession,
  mayAct,
  nextTickMs,
  step,
  type SessionEffect,
  type SessionEvent,
  type SessionPhase,
  type SessionState,
} from './session-state.ts';
import type { SessionHandle } from './types.ts';

/**
 * Gets every change, at once and in order. `session` is undefined while connecting, lost and
 * closed.
 */
export type SessionListener = (phase: SessionPhase, session: SessionHandle | undefined) => void;

export type SessionOptions = Omit<ConnectionOptions, 'seenZxid'> & {
  /** Gets what the library could not parse and what a listener threw. */
  onError: (error: unknown) => void;
};

export class Session {
  readonly #options: SessionOptions;
  readonly #listeners = new Set<SessionListener>();
  #state: SessionState = initialSession;
  #handle: SessionHandle | undefined;
  #sessions = 0;
  #connection: Connection | undefined;
  #seenZxid: Buffer | undefined;
  readonly #queue: SessionEvent[] = [];
  #busy = false;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Infinity;
  readonly #ending = new Set<Promise<void>>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get phase(): SessionPhase {
    return this.#state.phase;
  }

  /** The session while connected and suspended. */
  get handle(): SessionHandle | undefined {
    return this.#handle;
  }

  get requestsInFlight(): number {
    return this.#connection?.requestsInFlight ?? 0;
  }

  /**
   * Returns the connection for a request.
   * @throws ZooKeeperError `zookeeper.not_connected`, `zookeeper.closed`
   */
  connection(what: string, path?: string): Connection {
    if (this.#state.phase === 'connected' && this.#connection !== undefined) return this.#connection;
    const code = this.#state.phase === 'closed' ? 'zookeeper.closed' : 'zookeeper.not_connected';
    throw new ZooKeeperError(code, `${what}: the session is ${this.#state.phase}`, { path });
  }

  /** True if the owner of this session may act now on what the session owns. */
  mayAct(handle: SessionHandle): boolean {
    return handle === this.#handle && mayAct(this.#state, this.#options.nowMs());
  }

  onChange(listener: SessionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    if (this.#state.phase !== 'latent') {
      throw new ZooKeeperError('zookeeper.misused', 'a client can be started only once');
    }
    this.#feed({ type: 'start' });
  }

  async close(): Promise<void> {
    this.#feed({ type: 'close' });
    // If a listener called this, the event waits until the current one is done, which takes no more
    // than this.
    await Promise.resolve();
    await Promise.all(this.#ending);
  }

  /** Handles one event at a time; events that listeners cause wait in the queue. */
  #feed(event: SessionEvent): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#take(next);
    } finally {
      this.#busy = false;
    }
    this.#arm();
  }

  #take(event: SessionEvent): void {
    const [state, effects] = step(this.#state, event, this.#options.limits);
    const before = this.#state.session?.id;
    this.#state = state;
    if (state.session === undefined) this.#handle = undefined;
    else if (state.session.id !== before || this.#handle === undefined) {
      this.#sessions += 1;
      this.#handle = { ...state.session, number: this.#sessions };
    }
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: SessionEffect): void {
    switch (effect.type) {
      case 'open':
        this.#open();
        return;
      case 'drop':
        this.#connection?.drop();
        return;
      case 'discard':
        this.#discard();
        return;
      case 'notify':
        for (const listener of [...this.#listeners]) {
          try {
            listener(effect.phase, effect.phase === 'lost' ? undefined : this.#handle);
          } catch (error) {
            // An error in one listener must not keep the others from releasing what they hold.
            this.#options.onError(error);
          }
        }
        return;
    }
  }

  #open(): void {
    const { nowMs } = this.#options;
    // Events of a discarded client object no longer count.
    const live = (feed: () => void) => {
      if (this.#connection === connection) feed();
    };
    const connection = new Connection(
      { ...this.#options, seenZxid: this.#seenZxid },
      {
        dialled: () => live(() => this.#feed({ type: 'dialled', nowMs: nowMs() })),
        linked: (session) => live(() => this.#feed({ type: 'linked', nowMs: nowMs(), ...session })),
        answered: (sentAtMs) => live(() => this.#feed({ type: 'answered', nowMs: nowMs(), sentAtMs })),
        unlinked: () => live(() => this.#feed({ type: 'unlinked', nowMs: nowMs() })),
        expired: () => live(() => this.#feed({ type: 'expired' })),
        refused: () => live(() => this.#feed({ type: 'refused' })),
        garbled: (error) => this.#options.onError(error),
      },
    );
    this.#connection = connection;
    connection.connect();
  }

  #discard(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#seenZxid = Buffer.from(connection.seenZxid);
    this.#connection = undefined;
    const ending = connection.close().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /**
   * Leaves a timer that is too early: it will find nothing to do and be set again. So an answer
   * does not cost a new timer.
   */
  #arm(): void {
    const dueMs = nextTickMs(this.#state) ?? Infinity;
    if (this.#timer !== undefined && dueMs >= this.#timerDueMs && dueMs !== Infinity) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerDueMs = dueMs;
    if (dueMs === Infinity) return;
    const { nowMs } = this.#options;
    const tick = () => {
      this.#timer = undefined;
      this.#feed({ type: 'tick', nowMs: nowMs() });
    };
    this.#timer = setTimeout(tick, Math.max(1, Math.ceil(dueMs - nowMs())));
  }
}
