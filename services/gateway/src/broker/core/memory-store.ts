/**
 * A store in memory for tests, which can delay and fail commits. It passes the conformance suite.
 */
import type { MeshError } from '@thermomesh/runtime';
import { tables, type Commit, type Operation, type Range, type Store, type Table } from './ports.ts';

/** A store whose disk the test controls. */
export interface MemoryStore extends Store {
  /** Applies commits without making them durable, until {@link MemoryStore.releaseSync}. */
  holdSync(): void;
  releaseSync(): void;
  /** Rejects every commit that `fails` selects with `error`; undefined ends this. */
  failCommits(error: MeshError | undefined, fails?: (operations: readonly Operation[]) => boolean): void;
  /** Number of commits that were applied. */
  readonly commits: number;
}

/** Makes an empty store. */
export function createMemoryStore(): MemoryStore {
  const content = new Map<Table, SortedTable>(tables.map((table) => [table, createSortedTable()]));
  let failure: { error: MeshError; fails: (operations: readonly Operation[]) => boolean } | undefined;
  let held: (() => void)[] | undefined;
  let commits = 0;
  const of = (table: Table) => content.get(table)!;

  function apply(operations: readonly Operation[]): void {
    for (const { table, key, value } of operations) {
      if (value === undefined) of(table).remove(key);
      else of(table).put(key, Buffer.from(value));
    }
    commits += 1;
  }

  return {
    get commits() {
      return commits;
    },
    holdSync: () => {
      held ??= [];
    },
    releaseSync() {
      const waiting = held ?? [];
      held = undefined;
      for (const release of waiting) release();
    },
    failCommits(error, fails = () => true) {
      failure = error === undefined ? undefined : { error, fails };
    },
    get: (table, key) => of(table).get(key),
    range: (table, range = {}) => of(table).range(range),
    *keys(table, range = {}) {
      for (const { key } of of(table).range(range)) yield key;
    },
    commit(operations): Commit {
      if (failure?.fails(operations) === true) {
        const failed = Promise.reject(failure.error);
        failed.catch(() => undefined);
        return { applied: failed, durable: failed };
      }
      apply(operations);
      const applied = Promise.resolve();
      const waiting = held;
      const durable =
        waiting === undefined ? applied : new Promise<void>((resolve) => waiting.push(() => resolve()));
      return { applied, durable };
    },
    close: async () => undefined,
  };
}

interface SortedTable {
  get(key: Buffer): Buffer | undefined;
  put(key: Buffer, value: Buffer): void;
  remove(key: Buffer): void;
  range(range: Range): Iterable<{ key: Buffer; value: Buffer }>;
}

/** A map that sorts its keys on demand, which is fast enough for tests. */
function createSortedTable(): SortedTable {
  const values = new Map<string, Buffer>();
  let sorted: string[] | undefined = [];
  // latin1 keeps one character a byte, so string order is byte order.
  const text = (key: Buffer) => key.toString('latin1');
  return {
    get: (key) => values.get(text(key)),
    put(key, value) {
      if (!values.has(text(key))) sorted = undefined;
      values.set(text(key), value);
    },
    remove(key) {
      if (values.delete(text(key))) sorted = undefined;
    },
    *range({ start, end, reverse = false, limit = Infinity }) {
      sorted ??= [...values.keys()].sort((a, b) => (a < b ? -1 : 1));
      const low = start === undefined ? '' : text(start);
      const high = end === undefined ? undefined : text(end);
      let chosen = sorted.filter((key) => key >= low && (high === undefined || key < high));
      if (reverse) chosen = chosen.toReversed();
      for (const key of chosen.slice(0, limit)) {
        const value = values.get(key);
        if (value !== undefined) yield { key: Buffer.from(key, 'latin1'), value };
      }
    },
  };
}
