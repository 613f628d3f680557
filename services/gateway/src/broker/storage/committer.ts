/**
 * The only writer of the store. It gathers work, commits one transaction at a time, and tries again
 * until the work is durable. When the disk is full nothing is dropped: appends wait, and
 * housekeeping (mostly removals) goes first so that it can free space.
 */
import { codeOf, messageOf, type BackoffLimits, type MeshError } from '@thermomesh/runtime';
import { brokerError } from '../core/errors.ts';
import { isStorable, keyBytesMax, type Operation, type Store } from '../core/ports.ts';

/**
 * `append` grows the store and waits while it is full. `housekeeping` does not wait, because it
 * frees space.
 */
export type WorkKind = 'append' | 'housekeeping';

/** State of the store; `reason` is for people and null while it is ok. */
export interface StoreState {
  state: 'ok' | 'full' | 'failing';
  reason: string | null;
}

export interface CommitterOptions {
  store: Store;
  /** How long work gathers before it is committed, in ms. */
  lingerMs: number;
  retry: BackoffLimits;
  /** Called once for each change of `state`. */
  onState: (state: StoreState) => void;
  /** Called after each commit with the time that it took. */
  onCommit?: (stats: { commitMs: number }) => void;
}

/** Commits the work of all parts of the broker. */
export interface Committer {
  /**
   * Queues work. The committer calls `operations` once, when it composes the transaction. Resolves
   * when the work is durable, in the order of the calls within a kind.
   * @throws MeshError `store.closed`, or `store.bad_key` if the store cannot hold a key of it
   */
  submit(kind: WorkKind, operations: () => Operation[]): Promise<void>;
  /** Ends the linger of the queued work: enough has gathered. */
  hurry(): void;
  readonly state: StoreState;
  /** Takes no more work, and commits the queued work if the store manages it within `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/** Makes a committer; it is idle until work is submitted. */
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

/**
 * `closing`: no new work is taken, and the queued work is committed. `closed`: work whose commit
 * fails is given up.
 */
type Phase = 'open' | 'closing' | 'closed';

class GroupCommitter implements Committer {
  state: StoreState = { state: 'ok', reason: null };
  readonly #options: CommitterOptions;
  #queue: Work[] = [];
  #phase: Phase = 'open';
  #running: Promise<void> | undefined;
  #interrupt: (() => void) | undefined;
  #hurried = false;
  #endLinger: (() => void) | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  submit(kind: WorkKind, operations: () => Operation[]): Promise<void> {
    if (this.#phase !== 'open') return Promise.reject(closedError());
    return new Promise<void>((resolve, reject) => {
      this.#queue.push({ kind, operations, prepared: undefined, resolve, reject });
      if (kind === 'housekeeping') this.#interrupt?.();
      // Not in this turn: `#run` resets `#running` at its end, so the assignment must come first.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  hurry(): void {
    this.#hurried = true;
    this.#endLinger?.();
  }

  async close(timeoutMs: number): Promise<void> {
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
    if (this.#phase === 'open') {
      // Publishers that never pause must not hold the gateway until the deadline.
      this.#phase = 'closing';
      this.hurry();
      if (this.state.state === 'ok') await Promise.race([this.#running, deadline]);
    }
    this.#phase = 'closed';
    this.#interrupt?.();
    // A disk that does not answer must not keep the process.
    await Promise.race([this.#running, deadline]);
  }

  async #run(): Promise<void> {
    const { lingerMs } = this.#options;
    while (this.#queue.length > 0) {
      if (lingerMs > 0 && this.#phase === 'open' && !this.#hurried) await this.#linger(lingerMs);
      this.#hurried = false;
      const batch = this.#queue;
      this.#queue = [];
      const failure = await this.#attempt(batch);
      if (failure !== undefined) await this.#persist(batch, failure);
    }
    // In the same turn as the check of the queue: work that comes later starts a new run.
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

  /** Commits one transaction and resolves its works. Returns the error if nothing was written. */
  async #attempt(batch: readonly Work[]): Promise<unknown> {
    const operations: Operation[] = [];
    const storable: Work[] = [];
    for (const work of batch) {
      work.prepared ??= work.operations();
      // The store would refuse the whole transaction, and every attempt after it.
      if (!work.prepared.every(isStorable)) {
        work.reject(brokerError('store.bad_key', `a key is empty or longer than ${keyBytesMax} bytes`));
        continue;
      }
      storable.push(work);
      for (const operation of work.prepared) operations.push(operation);
    }
    if (operations.length > 0) {
      const started = performance.now();
      try {
        // I1: PUBACKs leave after this promise. `applied` is not enough: it survives a kill -9 but
        // not a power loss.
        await this.#options.store.commit(operations).durable;
      } catch (error) {
        return error;
      }
      this.#options.onCommit?.({ commitMs: performance.now() - started });
    }
    for (const work of storable) work.resolve();
    return undefined;
  }

  /**
   * Tries until all works of `batch` are durable: first the housekeeping alone, then the appends
   * when there is space again.
   */
  async #persist(batch: readonly Work[], firstFailure: unknown): Promise<void> {
    const { minMs, maxMs } = this.#options.retry;
    const appends = batch.filter(({ kind }) => kind === 'append');
    let housekeeping = batch.filter(({ kind }) => kind === 'housekeeping');
    let failure = firstFailure;
    for (let pauseMs = minMs; ; pauseMs = Math.min(pauseMs * 2, maxMs)) {
      this.#setState(stateAfter(failure));
      const refused = housekeeping.length === 0 ? undefined : await this.#attempt(housekeeping);
      if (refused === undefined) housekeeping = [];
      const failed = refused ?? (await this.#attempt(appends));
      if (failed === undefined) return this.#setState({ state: 'ok', reason: null });
      failure = failed;
      if (this.#phase === 'closed') return this.#abandon([...housekeeping, ...appends]);
      await this.#pause(pauseMs);
      housekeeping.push(...this.#takeHousekeeping());
    }
  }

  #takeHousekeeping(): Work[] {
    const taken = this.#queue.filter(({ kind }) => kind === 'housekeeping');
    this.#queue = this.#queue.filter(({ kind }) => kind !== 'housekeeping');
    return taken;
  }

  /** Pauses; new housekeeping or `close` cuts the pause short. */
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

function stateAfter(error: unknown): StoreState {
  const full = codeOf(error) === 'store.full';
  return { state: full ? 'full' : 'failing', reason: messageOf(error) };
}

function closedError(): MeshError {
  return brokerError('store.closed', 'the store is closed');
}
