/**
 * The coordinator's work: takes messages from the drain session, commits them in fenced batches and
 * acknowledges them after COMMIT (I1, I2). While PostgreSQL or the gateway is down the drain waits;
 * of all errors only a stale epoch ends it. It never passes over acknowledged messages by itself: a
 * database that lacks some gets them again, or the drain stops until an operator accepts the gap.
 */
import { createBackoff, raceAbort } from '@thermomesh/runtime';
import type { DrainGap, DrainView, OtherDatabase } from '@thermomesh/contracts';
import { StaleEpochError } from '@thermomesh/sql';
import { applyEntries, DrainGapError } from '../core/apply.ts';
import { nothingApplied, type Applied, type Entry } from '../core/batch.ts';
import { describeGap, describeOtherDatabase, judgeContinuity, type Gap } from '../core/continuity.ts';
import { analyticsError } from '../core/errors.ts';
import type { DrainSource, DrainStore, ReceivedBatch } from '../core/ports.ts';
import { createBestEffortWork, type BestEffortWork } from './best-effort-work.ts';
import { createConflictLog, type ConflictLog } from './conflict-log.ts';
import {
  isSameGap,
  viewOf,
  type Drain,
  type DrainOptions,
  type DrainState,
  type GapName,
  type ReplayOutcome,
} from './drain-options.ts';
import { LogRequests } from './log-requests.ts';
import { createTermPhase, type TermPhase } from './term-phase.ts';
import { TermStore } from './term-store.ts';
import { createUnknownFieldsLog, type UnknownFieldsLog } from './unknown-fields-log.ts';

export type { Drain, DrainOptions, GapName, ReplayOutcome } from './drain-options.ts';

/**
 * Starts draining with the epoch that `store` has just won.
 * @param store the session on which the epoch was taken; the drain owns it from here
 */
export function startDrain(epoch: number, store: DrainStore, options: DrainOptions): Drain {
  const term = new DrainTerm(epoch, store, options);
  const finished = term.run();
  return {
    finished,
    view: () => term.view(),
    acceptGap: (gap) => term.acceptGap(gap),
    replay: (id, entry) => term.replay(id, entry),
    release: async () => {
      term.stopIntake();
      await finished;
    },
    abort: () => term.abort(),
  };
}

class DrainTerm {
  readonly #epoch: number;
  readonly #options: DrainOptions;
  readonly #phase: TermPhase;
  readonly #store: TermStore;
  readonly #requests: LogRequests;
  readonly #conflicts: ConflictLog;
  readonly #bestEffort: BestEffortWork;
  readonly #unknownFields: UnknownFieldsLog;
  #source: DrainSource | undefined;
  #state: DrainState = { state: 'opening' };
  /** Log id up to which the present connection knows that messages are acknowledged. */
  #ackedLogId = 0;
  /** The database that the present connection drains into. */
  #database: string | undefined;
  /** The gap that was reported last, so that a gap is reported once. */
  #reported: DrainGap | undefined;

  constructor(epoch: number, store: DrainStore, options: DrainOptions) {
    this.#epoch = epoch;
    this.#options = options;
    this.#requests = new LogRequests(epoch, options);
    this.#conflicts = createConflictLog(options.log, () => performance.now());
    this.#unknownFields = createUnknownFieldsLog(options.log, options.metrics.unknownFields, () =>
      performance.now(),
    );
    this.#phase = createTermPhase(analyticsError('drain.ended', `the term of epoch ${epoch} ends`));
    this.#store = new TermStore(epoch, store, this.#phase, options, {
      onStale: (error) => this.#deposed(error),
      onAttached: async (session) => this.#compareAgain(session),
    });
    const execute = <T>(statement: (store: DrainStore) => Promise<T>) => this.#store.beside(statement);
    this.#bestEffort = createBestEffortWork({ ...options, epoch, execute });
  }

  async run(): Promise<void> {
    this.#store.start();
    try {
      const backoff = createBackoff(this.#options.retry);
      while (!this.#over) {
        const source = await this.#attempt('gateway', () => this.#openSource());
        if (source === undefined) break;
        this.#source = source;
        // The term may have ended while the connection was being made.
        if (this.#over) break;
        const isComplete = await this.#compare(source);
        if (isComplete) {
          backoff.reset();
          this.#state = { state: 'draining' };
          this.#bestEffort.attach(source);
          await this.#drain(source);
        }
        this.#state = { state: 'opening' };
        this.#source = undefined;
        if (this.#over) await source.end(this.#phase.aborted);
        source.destroy();
        if (this.#over) break;
        if (isComplete) this.#options.log.warn({ event: 'drain.session_lost', epoch: this.#epoch });
        await backoff.wait(this.#phase.ending);
      }
      if (!this.#isAborted) await this.#bestEffort.flush();
      if (!this.#isAborted) await this.#store.release();
    } finally {
      this.#bestEffort.stop();
      this.#source?.destroy();
      this.#store.close();
    }
  }

  view(): DrainView {
    return viewOf(this.#state);
  }

  stopIntake(): void {
    this.#phase.release();
    this.#source?.stopIntake();
  }

  abort(): void {
    this.#phase.abort();
    this.#source?.destroy();
    this.#store.close();
  }

  get #over(): boolean {
    switch (this.#phase.current.phase) {
      case 'draining':
        return false;
      case 'releasing':
      case 'aborted':
        return true;
    }
  }

  get #isAborted(): boolean {
    return this.#phase.current.phase === 'aborted';
  }

  /**
   * Connects to the gateway. Once the term is ending, gracefully or not, it stops waiting for a
   * gateway that does not respond.
   * @throws MeshError `drain.ended`
   */
  async #openSource(): Promise<DrainSource> {
    const opening = this.#options.openSource(this.#epoch);
    try {
      return await raceAbort(opening, this.#phase.ending);
    } catch (error) {
      // A connection that is made too late is closed again; a failure needs no retry any more.
      opening.then(
        (late) => late.destroy(),
        () => undefined,
      );
      throw error;
    }
  }

  /**
   * Compares where the gateway's log stands with where the database stands. Returns true if the
   * drain may begin; otherwise the session has to be opened again first.
   */
  async #compare(source: DrainSource): Promise<boolean> {
    const { logState } = source;
    // A gateway of an earlier version does not tell; then only the database refuses a gap.
    if (logState === undefined) return true;
    this.#ackedLogId = 0;
    this.#database = undefined;
    const position = await this.#attempt('postgresql', async () => {
      const store = await this.#store.current();
      return this.#store.execute(async () => store.position(logState.log));
    });
    if (position === undefined) return false;
    this.#ackedLogId = logState.drainedLogId;
    const found = judgeContinuity(logState, position, this.#options.adoptDatabase);
    switch (found.kind) {
      case 'continues':
        this.#reported = undefined;
        this.#database = position.database;
        return !found.isNew || this.#requests.bind(source, position.database);
      case 'other_database':
        await this.#refuse(found.otherDatabase);
        return false;
      case 'behind':
        await this.#requests.resend(found, source);
        return false;
      case 'gap':
        await this.#stopAt(found);
        return false;
    }
  }

  /** Waits until the database is another one, or the term ends. Nothing is stored in this one. */
  async #refuse(otherDatabase: OtherDatabase): Promise<void> {
    const { log, metrics } = this.#options;
    this.#source?.destroy();
    metrics.gaps.inc({ outcome: 'other_database' });
    log.error(
      { event: 'drain.other_database', epoch: this.#epoch, ...otherDatabase },
      describeOtherDatabase(otherDatabase),
    );
    await this.#waitAs((resume) => ({ state: 'other_database', otherDatabase, resume }));
  }

  async #waitAs(state: (resume: () => void) => DrainState): Promise<void> {
    const resumed = Promise.withResolvers<void>();
    this.#state = state(resumed.resolve);
    await raceAbort(resumed.promise, this.#phase.ending).catch(() => undefined);
  }

  /** Waits until the gap is accepted, the database is another one, or the term ends. */
  async #stopAt({ gap, keptIn }: Gap): Promise<void> {
    const { log, metrics } = this.#options;
    // The operator has adopted the database; the former one has these messages.
    if (keptIn !== undefined) {
      await this.#attempt('postgresql', () => this.#storeAcceptance(gap, keptIn));
      return;
    }
    const { gapPolicy } = this.#options;
    // The gateway keeps what it has; a connection would only fill the node's memory.
    this.#source?.destroy();
    if (!isSameGap(this.#reported, gap)) {
      metrics.gaps.inc({ outcome: 'stopped' });
      log.error({ event: 'drain.gap', epoch: this.#epoch, policy: gapPolicy, ...gap }, describeGap(gap));
    }
    this.#reported = gap;
    switch (gapPolicy) {
      case 'accept':
        await this.#attempt('postgresql', () => this.#storeAcceptance(gap));
        return;
      case 'stop':
        await this.#waitAs((resume) => ({ state: 'gap', gap, resume }));
    }
  }

  async acceptGap(name: GapName): Promise<DrainGap> {
    const at = this.#state;
    if (at.state !== 'gap' || !isSameGap(at.gap, name)) {
      throw analyticsError('drain.no_such_gap', 'the drain does not wait at this gap');
    }
    await this.#fenced(() => this.#storeAcceptance(at.gap));
    at.resume();
    return at.gap;
  }

  async replay(id: number, entry: Entry): Promise<ReplayOutcome> {
    const { nodeId, log } = this.#options;
    const outcome = await this.#fenced(async () => {
      const store = await this.#store.current();
      return this.#store.execute(async () => store.replay(this.#epoch, nodeId, id, entry));
    });
    log.info({ event: 'drain.replayed', epoch: this.#epoch, id, outcome });
    return outcome;
  }

  /** Does what a caller asks for. @throws MeshError `drain.not_coordinator` if the epoch is over */
  async #fenced<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StaleEpochError)) throw error;
      this.#deposed(error);
      throw analyticsError('drain.not_coordinator', error.message, { cause: error });
    }
  }

  async #storeAcceptance(gap: DrainGap, keptIn?: string): Promise<void> {
    const { nodeId, log, metrics } = this.#options;
    const store = await this.#store.current();
    await this.#store.execute(async () => store.acceptGap(this.#epoch, nodeId, gap, keptIn));
    metrics.gaps.inc({ outcome: 'accepted' });
    log.warn({ event: 'drain.gap_accepted', epoch: this.#epoch, ...gap, keptIn: keptIn ?? null });
  }

  /**
   * The database session is a new one, maybe of a database that was restored while this node
   * drained. If it lacks what was acknowledged, the drain session is opened again.
   * @throws DrainGapError
   */
  async #compareAgain(store: DrainStore): Promise<void> {
    if (this.#state.state === 'gap' || this.#state.state === 'other_database') return this.#state.resume();
    const source = this.#source;
    if (source?.logState === undefined || this.#database === undefined) return;
    const { highWaterMark, database } = await store.position(source.logState.log);
    if (highWaterMark >= this.#ackedLogId && database === this.#database) return;
    source.destroy();
    throw new DrainGapError(
      `the database stands at message ${highWaterMark}, but ${this.#ackedLogId} is acknowledged`,
    );
  }

  /** Drains batches of one connection until the connection or the term ends. */
  async #drain(source: DrainSource): Promise<void> {
    for (;;) {
      const received = await source.next(this.#options.limits());
      if (received === undefined) return;
      this.#options.crash('analytics.before-apply');
      const applied = await this.#applyInOrder(received);
      if (applied === undefined) return;
      this.#options.crash('analytics.after-commit');
      source.ack(received.packetIds);
      this.#ackedLogId = received.batch.entries.at(-1)?.logId ?? this.#ackedLogId;
      this.#options.metrics.batchCommitted(applied, received.batch.entries.length);
    }
  }

  /**
   * Applies a batch, or returns undefined: either the term is over, or messages are missing before
   * the batch. Then the drain opens its session again, and the gateway sends every unacknowledged
   * message once more.
   */
  async #applyInOrder(received: ReceivedBatch): Promise<Applied | undefined> {
    try {
      return await this.#attempt('postgresql', () => this.#apply(received));
    } catch (error) {
      if (!(error instanceof DrainGapError)) throw error;
      this.#options.metrics.gaps.inc({ outcome: 'asked_again' });
      this.#options.log.warn({ event: 'drain.asked_again', epoch: this.#epoch, err: error });
      return undefined;
    }
  }

  async #apply({ batch }: ReceivedBatch): Promise<Applied> {
    const store = await this.#store.current();
    const startedAt = performance.now();
    const applied = await applyEntries(batch.entries, async (entries) => {
      if (entries.length === 0) return nothingApplied;
      const part = { log: batch.log, entries: [...entries] };
      const applied = await this.#store.execute(async () => {
        const answer = store.apply(this.#epoch, this.#options.nodeId, part);
        this.#options.crash('analytics.during-apply');
        return answer;
      });
      this.#conflicts.note(entries);
      this.#unknownFields.note(entries);
      return applied;
    });
    this.#store.renewed();
    this.#options.metrics.commitMs.observe(performance.now() - startedAt);
    return applied;
  }

  /**
   * Repeats `work` until it succeeds; returns undefined if the term is over by then.
   * @throws DrainGapError
   */
  async #attempt<T>(what: 'gateway' | 'postgresql', work: () => Promise<T>): Promise<T | undefined> {
    const backoff = createBackoff(this.#options.retry);
    const signal = what === 'gateway' ? this.#phase.ending : this.#phase.aborted;
    const { log, metrics } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const result = await work();
        if (failures > 0) log.info({ event: 'drain.recovered', what, failures });
        // An aborted term acknowledges nothing, even if its last statement was committed.
        return this.#isAborted ? undefined : result;
      } catch (error) {
        if (error instanceof StaleEpochError) {
          this.#deposed(error);
          return undefined;
        }
        if (signal.aborted) return undefined;
        if (error instanceof DrainGapError) throw error;
        if (what === 'postgresql') this.#store.drop();
        metrics.failures.inc({ what });
        // The first failure is a warning; the retries would only repeat it.
        if (failures === 0) log.warn({ event: 'drain.waiting', what, epoch: this.#epoch, err: error });
        else log.debug({ event: 'drain.waiting', what, epoch: this.#epoch, err: error });
        failures++;
        await backoff.wait(signal);
      }
    }
    return undefined;
  }

  #deposed(error: StaleEpochError): void {
    this.#options.metrics.staleWritesRefused.inc();
    this.#options.log.warn({ event: 'drain.stale_write_refused', epoch: this.#epoch, err: error });
    this.abort();
    this.#options.onDeposed(this.#epoch);
  }
}
