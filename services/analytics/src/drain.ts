/**
 * The coordinator's work: take messages from the drain session, commit them in fenced batches, acknowledge after COMMIT (I1, I2).
 * PostgreSQL or the gateway down is waited out; only a stale epoch ends it from inside.
 */
import { codeOf, MeshError, messageOf, type CrashHook, type Log } from '@thermomesh/runtime';
import { StaleEpochError } from '@thermomesh/sql';
import type { BatchLimits, DrainSource, ReceivedBatch } from './adapters/mqtt-drain-source.ts';
import type { BatchRetention, DrainStore } from './adapters/pg-drain-store.ts';
import { createBackoff, type BackoffLimits } from './backoff.ts';
import { applyEntries, DrainGapError } from './core/apply.ts';
import { nothingApplied, type Applied } from './core/batch.ts';
import type { DrainMetrics } from './metrics.ts';

export interface DrainOptions {
  nodeId: number;
  /** Opens a database session, not yet attached to an epoch. */
  openStore: () => Promise<DrainStore>;
  openSource: (epoch: number) => Promise<DrainSource>;
  /** Read anew for each batch, so that it can change while draining. */
  limits: () => BatchLimits;
  leaseRenewMs: number;
  /** Old records of batches are removed so often, and so many at a time. */
  retention: BatchRetention & { intervalMs: number };
  retry: BackoffLimits;
  metrics: DrainMetrics;
  log: Log;
  crash: CrashHook;
  /** The fence said no: this node is no longer coordinator. */
  onDeposed: (epoch: number) => void;
}

/** How often the gateway is asked again for messages that are missing before they are given up as gone for good. */
const gapRetriesMax = 5;

/** One term as coordinator. */
export interface Drain {
  /** Ends when the term is over; rejects only for a fault of the program. */
  readonly finished: Promise<void>;
  /** In order: the batch under way is committed and acknowledged, the session and the lease are given back. */
  release(): Promise<void>;
  /** At once: nothing more is committed or acknowledged by this term. */
  abort(): void;
}

/**
 * Starts draining with the epoch that `store` has just won.
 * @param store the session on which the epoch was taken; the drain owns it from here
 */
export function startDrain(epoch: number, store: DrainStore, options: DrainOptions): Drain {
  const term = new Term(epoch, store, options);
  const finished = term.run();
  return {
    finished,
    release: async () => {
      term.stopIntake();
      await finished;
    },
    abort: () => term.abort(),
  };
}

class Term {
  private readonly epoch: number;
  private readonly options: DrainOptions;
  private store: DrainStore | undefined;
  private opening: Promise<DrainStore> | undefined;
  private source: DrainSource | undefined;
  private readonly aborted = new AbortController();
  /** The term is to end, in order or not. */
  private readonly ending = new AbortController();
  private gapRetries = 0;
  private lastCommitAt = performance.now();
  private statements = 0;
  private lastStatement: Promise<unknown> = Promise.resolve();

  constructor(epoch: number, store: DrainStore, options: DrainOptions) {
    this.epoch = epoch;
    this.options = options;
    this.store = store;
  }

  async run(): Promise<void> {
    const renewal = setInterval(() => void this.renewIfIdle(), this.options.leaseRenewMs);
    const pruning = setInterval(() => void this.prune(), this.options.retention.intervalMs);
    try {
      const backoff = createBackoff(this.options.retry);
      while (!this.over) {
        const source = await this.attempt('gateway', () => this.openSource());
        if (source === undefined) break;
        this.source = source;
        // Stopped while the connection was being made.
        if (this.over) break;
        backoff.reset();
        await this.drain(source);
        this.source = undefined;
        if (this.over) await source.end(this.aborted.signal);
        source.destroy();
        if (!this.over) {
          this.options.log.warn({ event: 'drain.session_lost', epoch: this.epoch });
          await backoff.wait(this.ending.signal);
        }
      }
      if (!this.aborted.signal.aborted) await this.giveBack();
    } finally {
      clearInterval(renewal);
      clearInterval(pruning);
      this.source?.destroy();
      this.store?.close();
    }
  }

  stopIntake(): void {
    this.ending.abort();
    this.source?.stopIntake();
  }

  abort(): void {
    this.aborted.abort();
    this.ending.abort();
    this.source?.destroy();
    this.store?.close();
  }

  private get over(): boolean {
    return this.ending.signal.aborted;
  }

  /** An end, in order too, does not wait for a gateway that does not answer. @throws MeshError `drain.ended` */
  private async openSource(): Promise<DrainSource> {
    const opening = this.options.openSource(this.epoch);
    const ended = Promise.withResolvers<undefined>();
    const end = () => ended.resolve(undefined);
    // A listener that is removed: a term lives long, and each reaction to a promise of its own would stay with it.
    this.ending.signal.addEventListener('abort', end);
    if (this.over) end();
    const source = await Promise.race([ended.promise, opening]).finally(() =>
      this.ending.signal.removeEventListener('abort', end),
    );
    if (source !== undefined) return source;
    opening.then(
      (late) => late.destroy(),
      () => undefined, // nobody is there any more who would try again
    );
    throw new MeshError('drain.ended', `the term of epoch ${this.epoch} is to end`);
  }

  /** Batches of one connection, until it ends or the term does. */
  private async drain(source: DrainSource): Promise<void> {
    for (;;) {
      const received = await source.next(this.options.limits());
      if (received === undefined) return;
      this.options.crash('analytics.before-apply');
      const applied = await this.applyInOrder(received);
      if (applied === undefined) return;
      this.options.crash('analytics.after-commit');
      source.ack(received.packetIds);
      this.options.metrics.batchCommitted(applied, received.batch.entries.length);
    }
  }

  /** Undefined if the term is over, or if messages are missing before the batch: then the session begins anew at its head. */
  private async applyInOrder(received: ReceivedBatch): Promise<Applied | undefined> {
    try {
      const applied = await this.attempt('postgresql', () => this.apply(received));
      this.gapRetries = 0;
      return applied;
    } catch (error) {
      if (!(error instanceof DrainGapError)) throw error;
      const givenUp = ++this.gapRetries > gapRetriesMax;
      this.options.metrics.gaps.inc({ outcome: givenUp ? 'given_up' : 'asked_again' });
      this.options.log.error({
        event: 'drain.gap',
        epoch: this.epoch,
        retries: this.gapRetries,
        givenUp,
        reason: error.message,
      });
      // The database is older than the gateway remembers, as after a restore: waiting would stop the drain for ever.
      return givenUp ? this.attempt('postgresql', () => this.apply(received, true)) : undefined;
    }
  }

  private async apply({ batch }: ReceivedBatch, acceptGap = false): Promise<Applied> {
    const store = await this.currentStore();
    const startedAt = performance.now();
    const applied = await applyEntries(batch.entries, async (entries) => {
      if (entries.length === 0) return nothingApplied;
      const part = { log: batch.log, entries: [...entries] };
      return this.inTurn(async () => {
        const answer = store.apply(this.epoch, this.options.nodeId, part, acceptGap);
        this.options.crash('analytics.during-apply');
        return answer;
      });
    });
    this.lastCommitAt = performance.now();
    this.options.metrics.commitMs.observe(this.lastCommitAt - startedAt);
    return applied;
  }

  /** A session takes one statement at a time. */
  private async inTurn<T>(statement: () => Promise<T>): Promise<T> {
    this.statements++;
    const answer = this.lastStatement.then(statement);
    this.lastStatement = answer.catch(() => undefined);
    return answer.finally(() => this.statements--);
  }

  /** The session of this term; a new one, attached to the same epoch, if the former is gone. */
  private async currentStore(): Promise<DrainStore> {
    if (this.store !== undefined) return this.store;
    this.opening ??= this.reopenStore().finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  private async reopenStore(): Promise<DrainStore> {
    const store = await this.options.openStore();
    try {
      await store.attach(this.epoch);
    } catch (error) {
      store.close();
      throw error;
    }
    if (this.aborted.signal.aborted) {
      store.close();
      throw new MeshError('drain.aborted', `the term of epoch ${this.epoch} is over`);
    }
    this.options.log.info({ event: 'drain.session_attached', epoch: this.epoch });
    this.store = store;
    return store;
  }

  /** Tries until it works; undefined when the term is over by then. */
  private async attempt<T>(what: 'gateway' | 'postgresql', work: () => Promise<T>): Promise<T | undefined> {
    const backoff = createBackoff(this.options.retry);
    const { signal } = what === 'gateway' ? this.ending : this.aborted;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const result = await work();
        if (failures > 0) this.options.log.info({ event: 'drain.recovered', what, failures });
        // An aborted term acknowledges nothing, though its last statement may have been in time.
        return this.aborted.signal.aborted ? undefined : result;
      } catch (error) {
        if (error instanceof StaleEpochError) {
          this.deposed(error);
          return undefined;
        }
        if (signal.aborted) return undefined;
        if (error instanceof DrainGapError) throw error;
        if (what === 'postgresql') this.dropStore();
        this.options.metrics.failures.inc({ what });
        const level = failures++ === 0 ? 'warn' : 'debug';
        this.options.log[level]({
          event: 'drain.waiting',
          what,
          epoch: this.epoch,
          code: codeOf(error),
          reason: messageOf(error),
        });
        await backoff.wait(signal);
      }
    }
    return undefined;
  }

  private dropStore(): void {
    this.store?.close();
    this.store = undefined;
  }

  private deposed(error: StaleEpochError): void {
    this.options.metrics.staleWritesRefused.inc();
    this.options.log.warn({ event: 'drain.stale_write_refused', epoch: this.epoch, reason: error.message });
    this.abort();
    this.options.onDeposed(this.epoch);
  }

  private async renewIfIdle(): Promise<void> {
    // A renewed lease would hold off the successor of a term that is over.
    if (this.aborted.signal.aborted) return;
    // A batch renews the lease itself.
    if (this.statements > 0 || performance.now() - this.lastCommitAt < this.options.leaseRenewMs) return;
    const { store } = this;
    try {
      if (store === undefined) await this.currentStore();
      else await this.inTurn(async () => store.renew(this.epoch));
    } catch (error) {
      this.keepingFailed(error, store);
    }
  }

  /** Housekeeping beside the drain: what fails now is done the next time. */
  private async prune(): Promise<void> {
    const { store } = this;
    if (this.over || store === undefined) return;
    try {
      const { retention, metrics } = this.options;
      metrics.batchesPruned.inc(await this.inTurn(async () => store.prune(this.epoch, retention)));
    } catch (error) {
      this.keepingFailed(error, store);
    }
  }

  /** What is done beside the batches has failed. The next batch, or the next look, opens a new session. */
  private keepingFailed(error: unknown, store: DrainStore | undefined): void {
    if (this.aborted.signal.aborted) return;
    if (error instanceof StaleEpochError) return this.deposed(error);
    this.options.metrics.failures.inc({ what: 'postgresql' });
    if (this.store === store) this.dropStore();
  }

  private async giveBack(): Promise<void> {
    await this.store?.release(this.epoch).catch((error: unknown) => {
      // Not fatal: the successor then waits for the lease to run out.
      this.options.log.warn({ event: 'drain.release_failed', epoch: this.epoch, reason: messageOf(error) });
    });
    this.options.log.info({ event: 'drain.released', epoch: this.epoch });
  }
}
