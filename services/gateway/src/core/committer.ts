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
  onCommit?: (seconds: { commitMs: number }) => void;
}

export interface Committer {
  /**
   * Queues work. `operations` is called once, when its transaction is put together. Resolves when the work is durable, in the
   * order of the calls within a kind; rejects only with `store.closed`.
   */
  submit(kind: WorkKind, operations: () => Operation[]): Promise<void>;
  readonly state: StoreState;
  /** Commits what is queued, if the store lets it before `deadlineMs` is over, and takes no more. */
  close(deadlineMs: number): Promise<void>;
}

interface Work {
  kind: WorkKind;
  operations: () => Operation[];
  prepared: Operation[] | undefined;
  resolve: () => void;
  reject: (error: MeshError) => void;
}

const ok: StoreState = { state: 'ok', reason: null };

export function createCommitter(options: CommitterOptions): Committer {
  const { store, lingerMs, retry } = options;
  let queue: Work[] = [];
  let state: StoreState = ok;
  let closed = false;
  let running: Promise<void> | undefined;
  let interrupt: (() => void) | undefined;

  function setState(next: StoreState): void {
    const changed = next.state !== state.state;
    state = next;
    if (changed) options.onState(next);
  }

  /** A pause that new housekeeping or the end cuts short. */
  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      interrupt = done;
      function done(): void {
        clearTimeout(timer);
        interrupt = undefined;
        resolve();
      }
    });
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      if (lingerMs > 0 && !closed) await new Promise((resolve) => setTimeout(resolve, lingerMs));
      const batch = queue;
      queue = [];
      const failure = await attempt(batch);
      if (failure !== undefined) await persist(batch, failure);
    }
    // In the same turn as the look at the queue: work that comes later starts a new run.
    running = undefined;
  }

  /** One transaction; settles its works. Returns the error if nothing was written. */
  async function attempt(batch: readonly Work[]): Promise<unknown> {
    const operations: Operation[] = [];
    for (const work of batch) {
      work.prepared ??= work.operations();
      for (const operation of work.prepared) operations.push(operation);
    }
    if (operations.length > 0) {
      const started = performance.now();
      try {
        // I1: what resolves here lets PUBACKs go. `applied` would not do: it survives a kill -9, but no power loss.
        await store.commit(operations).durable;
      } catch (error) {
        return error;
      }
      options.onCommit?.({ commitMs: performance.now() - started });
    }
    for (const work of batch) work.resolve();
    return undefined;
  }

  /** Tries until everything of `batch` is durable: housekeeping on its own first, appends when there is space again. */
  async function persist(batch: readonly Work[], firstFailure: unknown): Promise<void> {
    let housekeeping = batch.filter(({ kind }) => kind === 'housekeeping');
    const appends = batch.filter(({ kind }) => kind === 'append');
    let failure = firstFailure;
    let pauseMs = retry.minMs;
    while (housekeeping.length + appends.length > 0) {
      setState(describe(failure));
      if (housekeeping.length > 0) {
        const failed = await attempt(housekeeping);
        if (failed === undefined) housekeeping = [];
        else failure = failed;
      }
      if (housekeeping.length === 0) {
        const failed = await attempt(appends);
        if (failed === undefined) break;
        failure = failed;
      }
      if (closed) return abandon([...housekeeping, ...appends]);
      await pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, retry.maxMs);
      housekeeping.push(...takeHousekeeping());
    }
    setState(ok);
  }

  function takeHousekeeping(): Work[] {
    const taken = queue.filter(({ kind }) => kind === 'housekeeping');
    queue = queue.filter(({ kind }) => kind !== 'housekeeping');
    return taken;
  }

  function abandon(works: readonly Work[]): void {
    for (const work of [...works, ...queue]) work.reject(closedError());
    queue = [];
  }

  return {
    get state() {
      return state;
    },
    submit(kind, operations) {
      if (closed) return Promise.reject(closedError());
      return new Promise<void>((resolve, reject) => {
        queue.push({ kind, operations, prepared: undefined, resolve, reject });
        if (kind === 'housekeeping') interrupt?.();
        if (running === undefined) {
          // `run` ends only after an await, so the assignment below comes before its own.
          running = Promise.resolve().then(run);
        }
      });
    },
    async close(deadlineMs) {
      if (!closed && state.state === 'ok' && running !== undefined) {
        await Promise.race([running, new Promise((resolve) => setTimeout(resolve, deadlineMs).unref())]);
      }
      closed = true;
      interrupt?.();
      await running;
    },
  };
}

function describe(error: unknown): StoreState {
  const full = codeOf(error) === 'store.full';
  return { state: full ? 'full' : 'failing', reason: messageOf(error) };
}

function closedError(): MeshError {
  return new MeshError('store.closed', 'the store is closed', { retriable: true });
}
