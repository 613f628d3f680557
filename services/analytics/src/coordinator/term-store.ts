/**
 * The database session of one term: it is opened again when it breaks, keeps the lease of an idle
 * coordinator fresh, and removes old batch records.
 */
import { createSequencer, type Log } from '@thermomesh/runtime';
import { DataRefusedError, SqlUnavailableError, StaleEpochError } from '@thermomesh/sql';
import { DrainGapError } from '../core/apply.ts';
import { analyticsError } from '../core/errors.ts';
import type { BatchRetention, DrainStore } from '../core/ports.ts';
import type { DrainMetrics } from '../metrics.ts';
import type { TermPhase } from './term-phase.ts';

export interface TermStoreOptions {
  /** Opens a database session that is not yet attached to an epoch. */
  openStore: () => Promise<DrainStore>;
  /** An idle coordinator renews its lease at this interval. */
  leaseRenewMs: number;
  /** Old batch records are removed at this interval, some at a time. */
  retention: BatchRetention & { intervalMs: number };
  metrics: DrainMetrics;
  log: Log;
}

/** What the term does about its session. */
export interface TermStoreEvents {
  /** The fence has refused this node. */
  onStale: (error: StaleEpochError) => void;
  /**
   * A new session continues the epoch. Its database may be another one than before.
   * @throws DrainGapError if it lacks messages that the gateway has had acknowledged
   */
  onAttached: (store: DrainStore) => Promise<void>;
}

export class TermStore {
  readonly #epoch: number;
  readonly #phase: TermPhase;
  readonly #options: TermStoreOptions;
  readonly #events: TermStoreEvents;
  #session: DrainStore | undefined;
  #reopening: Promise<DrainStore> | undefined;
  #statements = 0;
  #lastUseAt = performance.now();
  #timers: NodeJS.Timeout[] = [];
  /** A database session takes one statement at a time. */
  readonly #inTurn = createSequencer();

  /** @param session the session on which the epoch was taken; it is owned from here */
  constructor(
    epoch: number,
    session: DrainStore,
    phase: TermPhase,
    options: TermStoreOptions,
    events: TermStoreEvents,
  ) {
    this.#epoch = epoch;
    this.#session = session;
    this.#phase = phase;
    this.#options = options;
    this.#events = events;
  }

  /** Starts the renewals and the removals; `close` ends them. */
  start(): void {
    const { leaseRenewMs, retention } = this.#options;
    this.#timers = [
      setInterval(() => void this.#renewIfIdle(), leaseRenewMs),
      setInterval(() => void this.#prune(), retention.intervalMs),
    ];
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#session?.close();
  }

  /** The session. If the former one is gone, opens one that is attached to the epoch. */
  async current(): Promise<DrainStore> {
    if (this.#session !== undefined) return this.#session;
    this.#reopening ??= this.#reopen().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  /** Gives a session up on which a statement has failed. */
  drop(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  /** Executes a statement after those that were started before it. */
  async execute<T>(statement: () => Promise<T>): Promise<T> {
    this.#statements++;
    return this.#inTurn(statement).finally(() => this.#statements--);
  }

  /**
   * Executes a statement that the drain does not need. Undefined: it failed, or there is no session
   * now.
   * @throws DataRefusedError
   */
  async beside<T>(statement: (store: DrainStore) => Promise<T>): Promise<T | undefined> {
    const session = this.#session;
    if (session === undefined || this.#isAborted) return undefined;
    try {
      return await this.execute(async () => statement(session));
    } catch (error) {
      if (error instanceof DataRefusedError) throw error;
      // The drain's session is given up only if it is the session that has failed.
      if (error instanceof StaleEpochError || error instanceof SqlUnavailableError)
        this.#upkeepFailed(error, session);
      else this.#options.log.error({ event: 'drain.beside_failed', epoch: this.#epoch, err: error });
      return undefined;
    }
  }

  /** Records that a batch has renewed the lease. */
  renewed(): void {
    this.#lastUseAt = performance.now();
  }

  /** Releases the lease, so that the successor need not wait until it expires. */
  async release(): Promise<void> {
    const { log } = this.#options;
    const session = this.#session;
    if (session === undefined) {
      log.warn({ event: 'drain.not_released', epoch: this.#epoch, reason: 'no database session' });
      return;
    }
    try {
      await session.release(this.#epoch);
      log.info({ event: 'drain.released', epoch: this.#epoch });
    } catch (error) {
      // Not fatal: the successor then waits until the lease expires.
      log.warn({ event: 'drain.release_failed', epoch: this.#epoch, err: error });
    }
  }

  get #isAborted(): boolean {
    return this.#phase.current.phase === 'aborted';
  }

  async #reopen(): Promise<DrainStore> {
    const session = await this.#options.openStore();
    try {
      await session.attach(this.#epoch);
    } catch (error) {
      session.close();
      throw error;
    }
    if (this.#isAborted) {
      session.close();
      throw analyticsError('drain.aborted', `the term of epoch ${this.#epoch} is over`);
    }
    this.#options.log.info({ event: 'drain.session_attached', epoch: this.#epoch });
    this.#session = session;
    await this.#events.onAttached(session);
    return session;
  }

  async #renewIfIdle(): Promise<void> {
    // A renewed lease would hold off the successor of a term that is over.
    if (this.#isAborted) return;
    // A batch renews the lease itself.
    const idleMs = performance.now() - this.#lastUseAt;
    if (this.#statements > 0 || idleMs < this.#options.leaseRenewMs) return;
    const session = this.#session;
    try {
      if (session === undefined) await this.current();
      else await this.execute(async () => session.renew(this.#epoch));
    } catch (error) {
      this.#upkeepFailed(error, session);
    }
  }

  /** Removes old batch records beside the drain. After a failure the next interval tries again. */
  async #prune(): Promise<void> {
    const session = this.#session;
    if (session === undefined || this.#phase.current.phase !== 'draining') return;
    try {
      const { retention, metrics } = this.#options;
      metrics.batchesPruned.inc(await this.execute(async () => session.prune(this.#epoch, retention)));
    } catch (error) {
      this.#upkeepFailed(error, session);
    }
  }

  /**
   * A renewal or a removal has failed on `session`. The next batch or the next interval opens a new
   * one.
   */
  #upkeepFailed(error: unknown, session: DrainStore | undefined): void {
    if (this.#isAborted) return;
    if (error instanceof StaleEpochError) return this.#events.onStale(error);
    // The new session works; the drain begins again because of what its database lacks.
    if (error instanceof DrainGapError) return;
    this.#options.metrics.failures.inc({ what: 'postgresql' });
    if (this.#session === session) this.drop();
  }
}
