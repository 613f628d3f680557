/**
 * Ends persistent sessions whose clients have been away for too long. Its clock counts the time in
 * which the gateway runs: a session does not end because the gateway was down, or because the
 * machine's clock was set. The clock and the time at which each client was last here are stored, so
 * a restart does not begin them again.
 */
import { codeOf } from '@thermomesh/runtime';
import type { Committer } from './committer.ts';
import { numberKey, numberValue, readNumber } from '../core/keys.ts';
import type { Operation, Store } from '../core/ports.ts';
import type { Sessions } from './sessions.ts';

export interface SessionExpiryOptions {
  sessions: Pick<Sessions, 'list' | 'clear'>;
  store: Store;
  committer: Committer;
  /** Time without a connection after which a session ends. */
  expiryMs: number;
  isConnected: (clientId: string) => boolean;
  /** Time since any moment, in ms; never set back. */
  now: () => number;
  onExpired: (clientId: string, queued: number) => void;
}

/** Watches the sessions between `start` and `stop`. */
export interface SessionExpiry {
  start(): void;
  /** Ends the watch, and stores the clock. */
  stop(): void;
  /**
   * Records that a client is about to connect, so that its session does not end now. If the session
   * is ending, the promise resolves when it has ended; the client must wait for it.
   */
  enter(clientId: string): Promise<void> | undefined;
  /** Ends the sessions that are due. */
  sweep(): void;
}

/** Interval of the sweeps as a share of the expiry, and its limits. */
const sweepShare = 0.1;
const sweepMsMin = 100;
const sweepMsMax = 60_000;

const clockKey = Buffer.from('sessionClock');

/** Makes the watch; it goes on where that of the former process stopped. */
export function createSessionExpiry(options: SessionExpiryOptions): SessionExpiry {
  return new StoredSessionExpiry(options);
}

class StoredSessionExpiry implements SessionExpiry {
  readonly #options: SessionExpiryOptions;
  /** What the clock would show at time 0 of `now`. */
  readonly #offsetMs: number;
  #lastSeen: Map<string, number>;
  /** What the store has, or will have after the writes under way. */
  readonly #stored: Map<string, number>;
  readonly #ending = new Map<string, Promise<void>>();
  /** Clients that were away at the last sweep, and when that was. */
  #away = new Map<string, number>();
  #sweptAt = 0;
  /** True while a write waits for its transaction. */
  #queued = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SessionExpiryOptions) {
    this.#options = options;
    const clock = options.store.get('meta', clockKey);
    this.#offsetMs = (clock === undefined ? 0 : readNumber(clock)) - options.now();
    this.#stored = readStored(options.store);
    this.#lastSeen = new Map(this.#stored);
  }

  start(): void {
    const everyMs = Math.min(Math.max(this.#options.expiryMs * sweepShare, sweepMsMin), sweepMsMax);
    this.#timer = setInterval(() => this.sweep(), everyMs).unref();
  }

  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.sweep();
  }

  enter(clientId: string): Promise<void> | undefined {
    this.#lastSeen.set(clientId, this.#clock());
    // The next sweep stores it: a crash before that can only end a session whose client stays away.
    return this.#ending.get(clientId);
  }

  sweep(): void {
    const { sessions, expiryMs, isConnected, onExpired } = this.#options;
    const now = this.#clock();
    const seenBefore = this.#lastSeen;
    this.#lastSeen = new Map();
    const away = new Map<string, number>();
    for (const { clientId, queued } of sessions.list()) {
      if (this.#ending.has(clientId)) continue;
      const connected = isConnected(clientId);
      const seen = connected ? now : (seenBefore.get(clientId) ?? now);
      if (now - seen < expiryMs) {
        this.#lastSeen.set(clientId, seen);
        if (!connected) away.set(clientId, seen);
        continue;
      }
      onExpired(clientId, queued);
      this.#ending.set(clientId, this.#end(clientId));
    }
    this.#away = away;
    this.#sweptAt = now;
    this.#keep();
  }

  /** Time for which gateways have run on this store, in ms. */
  #clock(): number {
    return Math.floor(this.#offsetMs + this.#options.now());
  }

  async #end(clientId: string): Promise<void> {
    try {
      await this.#options.sessions.clear(clientId);
    } catch (error) {
      // The rest of the session ends after the next start.
      if (codeOf(error) !== 'store.closed') throw error;
    } finally {
      this.#ending.delete(clientId);
    }
  }

  /** Stores who is away since when, and the clock. */
  #keep(): void {
    // Composed when the store takes it: sweeps of the meantime are one write.
    if (this.#queued) return;
    this.#queued = true;
    const compose = () => {
      this.#queued = false;
      return this.#changes();
    };
    this.#options.committer.submit('housekeeping', compose).catch((error: unknown) => {
      if (codeOf(error) !== 'store.closed') throw error;
    });
  }

  /** What the store does not have yet; nothing while everybody is here. */
  #changes(): Operation[] {
    if (this.#away.size === 0 && this.#stored.size === 0) return [];
    const operations: Operation[] = [{ table: 'meta', key: clockKey, value: numberValue(this.#sweptAt) }];
    for (const [clientId, seen] of this.#away) {
      if (this.#stored.get(clientId) === seen) continue;
      operations.push({ table: 'away', key: Buffer.from(clientId), value: numberKey(seen) });
      this.#stored.set(clientId, seen);
    }
    for (const clientId of this.#stored.keys()) {
      if (this.#away.has(clientId)) continue;
      operations.push({ table: 'away', key: Buffer.from(clientId) });
      this.#stored.delete(clientId);
    }
    return operations;
  }
}

function readStored(store: Store): Map<string, number> {
  const stored = new Map<string, number>();
  for (const { key, value } of store.range('away')) stored.set(key.toString(), readNumber(value));
  return stored;
}
