/** The store on LMDB: copy-on-write pages and two alternating meta pages, so that a half-written end is never taken for a record. */
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import { open, type Database, type RootDatabase } from 'lmdb';
import { tables, type Commit, type Operation, type Range, type Store, type Table } from '../core/store.ts';

/** Errors that mean "no space", by number: ENOSPC, EDQUOT, EFBIG and LMDB's MDB_MAP_FULL. */
const fullCodes = new Set([28, 122, 27, -30792]);

export interface LmdbOptions {
  /** Folder of the store; made if missing. */
  path: string;
  /** Largest size of the file, in bytes; address space only, the file grows as needed. */
  mapBytesMax: number;
}

type Bytes = Database<Buffer, Buffer>;

/** Opens or creates the store. @throws MeshError `store.failed` */
export function openLmdbStore({ path, mapBytesMax }: LmdbOptions): Store {
  let root: RootDatabase<Buffer, Buffer>;
  const databases = new Map<Table, Bytes>();
  try {
    root = open<Buffer, Buffer>({
      path,
      noSubdir: false,
      mapSize: mapBytesMax,
      maxDbs: tables.length + 1,
      encoding: 'binary',
      keyEncoding: 'binary',
      compression: false,
      // A commit resolves after the fdatasync of its transaction; with overlapping syncs it would resolve before.
      overlappingSync: false,
    });
    for (const name of tables) {
      databases.set(name, root.openDB({ name, encoding: 'binary', keyEncoding: 'binary' }));
    }
  } catch (error) {
    throw new MeshError('store.failed', `cannot open the store in ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const of = (table: Table) => databases.get(table)!;

  function write(operations: readonly Operation[]): void {
    for (const { table, key, value } of operations) {
      if (value === undefined) void of(table).remove(key);
      else void of(table).put(key, value);
    }
  }

  return {
    get: (table, key) => of(table).getBinary(key),
    *range(table, range) {
      for (const { key, value } of of(table).getRange(bounds(range))) yield { key, value };
    },
    *keys(table, range) {
      yield* of(table).getKeys(bounds(range));
    },
    commit(operations): Commit {
      const durable = root.batch(() => write(operations)).then(() => undefined, classify);
      durable.catch(() => undefined);
      // LMDB makes a commit visible only after its sync, so there is no earlier moment to tell of.
      return { applied: durable, durable };
    },
    close: () => root.close(),
  };
}

/** LMDB's reverse ranges run from `start` (inclusive) down to `end` (exclusive); ours keep low and high in place. */
function bounds({ start, end, reverse = false, limit }: Range = {}) {
  const size = limit === undefined ? {} : { limit };
  if (!reverse) return { ...(start && { start }), ...(end && { end }), ...size };
  return {
    reverse: true,
    ...(end && { start: end, exclusiveStart: true }),
    // The lowest key that is still wanted is included by ending just before it: keys have no predecessor, so it is stated.
    ...(start && { end: start, inclusiveEnd: true }),
    ...size,
  };
}

/** The library rejects with a general error and hands LMDB's own in a promise beside it. */
async function classify(error: unknown): Promise<never> {
  const cause = await causeOf(error);
  const number = (cause as { code?: unknown }).code;
  const full = typeof number === 'number' && fullCodes.has(number);
  throw new MeshError(full ? 'store.full' : 'store.failed', messageOf(cause), { cause, retriable: true });
}

async function causeOf(error: unknown): Promise<unknown> {
  const commitError = (error as { commitError?: Promise<unknown> }).commitError;
  if (commitError === undefined) return error;
  return commitError.then(
    () => error,
    (cause: unknown) => cause,
  );
}

/** True if nothing that this store does can succeed any more before it is opened again. */
export function isFatal(error: unknown): boolean {
  return codeOf(error) === 'store.failed' && /fatal|panic|corrupt/i.test(messageOf(error));
}
