/** The store on LMDB: copy-on-write pages and two alternating meta pages, so that a half-written end is never taken for a record. */
import { statfs } from 'node:fs/promises';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { open, type Database, type RootDatabase } from 'lmdb';
import { tables, type Commit, type Operation, type Range, type Store, type Table } from '../core/store.ts';

/** Errors that mean "no space", by number: ENOSPC, EDQUOT, EFBIG and LMDB's MDB_MAP_FULL. */
const fullCodes = new Set([28, 122, 27, -30792]);
const ioErrorCode = 5;
/** A disk with less than this is full for our purposes. */
const freeBytesMin = 16 * 1024 * 1024;

export interface LmdbOptions {
  /** Folder of the store; made if missing. */
  path: string;
  /** Address space for the file, in bytes: the file is as large as its content and the map grows with it. */
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
      // Batches by turn of the event loop have a promise of their own that nobody sees: a failed commit would end the process.
      eventTurnBatching: false,
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
      const durable = root
        .batch(() => write(operations))
        .then(
          () => undefined,
          (error: unknown) => classify(error, path),
        );
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
async function classify(error: unknown, path: string): Promise<never> {
  const cause = await causeOf(error);
  const number = (cause as { code?: unknown }).code;
  // A write that the disk took only in part is an I/O error to LMDB: the free space tells what it was.
  const full = fullCodes.has(number as number) || (number === ioErrorCode && (await isDiskFull(path)));
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

async function isDiskFull(path: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize < freeBytesMin;
}
