/**
 * The one writer of the store: gathers work, commits it as one transaction at a time, and tries again until it is durable. When
 * the disk is full nothing is dropped: appends wait, housekeeping (removal above all) goes first, so that space can come back.
 */
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import type { Operation, Store } from './store.ts';

/** `append` grows the store and waits while it is full; `housekeeping` must go on, it is what frees space. */
export type WorkKind = 'append' | 'housekeeping';

/** How the store does; `reason` is for people. */
export interface StoreState {
  state: 'ok' | 'full' | 'failing';
  reason: string | null;
}

export interface CommitterOptions {
  store: Store;
  /** How long work gathers before it is committed, in ms. */
  lingerMs: number;
  retry: { minMs: number; maxMs: number };
  /** Called once per change. */
  onState: (state: StoreState) => void;
  /** Called after each commit. */
  onCommit?: (figures: { commitMs: number }) => void;
}

export interface Committer {
  /**
   * Queues work. `operations` is called once, when its transaction is put together. Resolves when the work is durable, in the
   * order of the calls within a kind; rejects only with `store.closed`.
   */
  submit(kind: WorkKind, operations: () => Operation[]): Promise<void>;
  /** Enough has gathered: what is queued lingers no longer. */
  hurry(): void;
  readonly state: StoreState;
  /** Commits what is queued, if the store lets it before `deadlineMs` is over, and takes no more. */
  close(deadlineMs: number): Promise<void>;
}

export function createCommitter(options: CommitterOptions): Committer {
  return new GroupCommitter(options);
}

interface Work {
  kind: WorkKind;
  operations: () => Operation[];
  prepared: Operation[] | undefined;
  resolve: () => void;
  reject: (error: MeshError) => void;
}

class GroupCommitter implements Committer {
  state: StoreState = { state: 'ok', reason: null };
  readonly #options: CommitterOptions;
  #queue: Work[] = [];
  #closed = false;
  #running: Promise<void> | undefined;
  #interrupt: (() => void) | undefined;
  #hurried = false;
  #endLinger: (() => void) | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  submit(kind: WorkKind, operations: () => Operation[]): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise<void>((resolve, reject) => {
      this.#queue.push({ kind, operations, prepared: undefined, resolve, reject });
      if (kind === 'housekeeping') this.#interrupt?.();
      // Not in this turn: the run sets `#running` back, so it must have been set before.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  hurry(): void {
    this.#hurried = true;
    this.#endLinger?.();
  }

  async close(deadlineMs: number): Promise<void> {
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, deadlineMs).unref());
    if (!this.#closed && this.state.state === 'ok') await Promise.race([this.#running, deadline]);
    this.#closed = true;
    this.#interrupt?.();
    // A disk that does not answer must not keep the process.
    await Promise.race([this.#running, deadline]);
  }

  async #run(): Promise<void> {
    const { lingerMs } = this.#options;
    while (this.#queue.length > 0) {
      if (lingerMs > 0 && !this.#closed && !this.#hurried) await this.#linger(lingerMs);
      this.#hurried = false;
      const batch = this.#queue;
      this.#queue = [];
      const failure = await this.#attempt(batch);
      if (failure !== undefined) await this.#persist(batch, failure);
    }
    // In the same turn as the look at the queue: work that comes later starts a new run.
    this.#running = undefined;
  }

  #linger(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endLinger = () => {
        clearTimeout(timer);
        this.#endLinger = undefined;
        resolve();
      };
    });
  }

  /** One transaction; settles its works. Returns the error if nothing was written. */
  async #attempt(batch: readonly Work[]): Promise<unknown> {
    const operations: Operation[] = [];
    for (const work of batch) {
      work.prepared ??= work.operations();
      for (const operation of work.prepared) operations.push(operation);
    }
    if (operations.length > 0) {
      const started = performance.now();
      try {
        // I1: what resolves here lets PUBACKs go. `applied` would not do: it survives a kill -9, but no power loss.
        await this.#options.store.commit(operations).durable;
      } catch (error) {
        return error;
      }
      this.#options.onCommit?.({ commitMs: performance.now() - started });
    }
    for (const work of batch) work.resolve();
    return undefined;
  }

  /** Tries until everything of `batch` is durable: housekeeping on its own first, appends when there is space again. */
  async #persist(batch: readonly Work[], firstFailure: unknown): Promise<void> {
    const { minMs, maxMs } = this.#options.retry;
    const appends = batch.filter(({ kind }) => kind === 'append');
    let housekeeping = batch.filter(({ kind }) => kind === 'housekeeping');
    let failure = firstFailure;
    for (let pauseMs = minMs; ; pauseMs = Math.min(pauseMs * 2, maxMs)) {
      this.#setState(describe(failure));
      const refused = housekeeping.length === 0 ? undefined : await this.#attempt(housekeeping);
      if (refused === undefined) housekeeping = [];
      const failed = refused ?? (await this.#attempt(appends));
      if (failed === undefined) return this.#setState({ state: 'ok', reason: null });
      failure = failed;
      if (this.#closed) return this.#abandon([...housekeeping, ...appends]);
      await this.#pause(pauseMs);
      housekeeping.push(...this.#takeHousekeeping());
    }
  }

  #takeHousekeeping(): Work[] {
    const taken = this.#queue.filter(({ kind }) => kind === 'housekeeping');
    this.#queue = this.#queue.filter(({ kind }) => kind !== 'housekeeping');
    return taken;
  }

  /** A pause that new housekeeping or the end cuts short. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#interrupt = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#interrupt = done;
    });
  }

  #abandon(works: readonly Work[]): void {
    for (const work of [...works, ...this.#queue]) work.reject(closedError());
    this.#queue = [];
  }

  #setState(next: StoreState): void {
    const changed = next.state !== this.state.state;
    this.state = next;
    if (changed) this.#options.onState(next);
  }
}

function describe(error: unknown): StoreState {
  const full = codeOf(error) === 'store.full';
  return { state: full ? 'full' : 'failing', reason: messageOf(error) };
}

function closedError(): MeshError {
  return new MeshError('store.closed', 'the store is closed', { retriable: true });
}
