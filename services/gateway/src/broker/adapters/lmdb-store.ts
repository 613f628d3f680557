/**
 * The store on LMDB. Its pages are copy-on-write and it alternates between two meta pages, so a
 * half-written commit is never taken for a record.
 */
import { statfs } from 'node:fs/promises';
import { makeDurableFolder, messageOf, syncFolder } from '@thermomesh/runtime';
import { open, type Database, type RootDatabase } from 'lmdb';
import { brokerError } from '../core/errors.ts';
import { tables, type Commit, type Operation, type Range, type Store, type Table } from '../core/ports.ts';

/** Errors that mean "no space", by number: ENOSPC, EDQUOT, EFBIG and LMDB's MDB_MAP_FULL. */
const fullCodes = new Set([28, 122, 27, -30792]);
const ioErrorCode = 5;
/** A disk with less free space than this counts as full. */
const freeBytesMin = 16 * 1024 * 1024;

export interface LmdbOptions {
  /** Folder of the store; it is made if it is missing. */
  path: string;
  /** Address space for the file, in bytes. The file itself is only as large as its content. */
  mapBytesMax: number;
}

type Bytes = Database<Buffer, Buffer>;

/** Opens or creates the store. @throws MeshError `store.failed` */
export function openLmdbStore({ path, mapBytesMax }: LmdbOptions): Store {
  let root: RootDatabase<Buffer, Buffer>;
  const databases = new Map<Table, Bytes>();
  try {
    makeDurableFolder(path);
    root = open<Buffer, Buffer>({
      path,
      noSubdir: false,
      mapSize: mapBytesMax,
      maxDbs: tables.length + 1,
      encoding: 'binary',
      keyEncoding: 'binary',
      compression: false,
      // A commit resolves after the fdatasync of its transaction; with overlapping syncs it would
      // resolve before.
      overlappingSync: false,
      // Batches by turn of the event loop have a promise that no code can catch: a failed commit
      // would end the process.
      eventTurnBatching: false,
    });
    for (const name of tables) {
      databases.set(name, root.openDB({ name, encoding: 'binary', keyEncoding: 'binary' }));
    }
    // LMDB syncs its file, but not the folder that holds the name of the file (I1).
    syncFolder(path);
  } catch (error) {
    throw brokerError('store.failed', `cannot open the store in ${path}: ${messageOf(error)}`, {
      cause: error,
      retriable: false,
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
      // LMDB makes a commit visible only after its sync, so it is applied and durable at once.
      return { applied: durable, durable };
    },
    close: () => root.close(),
  };
}

/**
 * The options of a range in LMDB. Its reverse ranges run from `start` (inclusive) down to `end`
 * (exclusive); ours keep `start` below `end`.
 */
function bounds({ start, end, reverse = false, limit }: Range = {}) {
  const size = limit === undefined ? {} : { limit };
  if (!reverse) return { ...(start && { start }), ...(end && { end }), ...size };
  return {
    reverse: true,
    ...(end && { start: end, exclusiveStart: true }),
    // `inclusiveEnd` includes the lowest key, because a key has no predecessor to end at.
    ...(start && { end: start, inclusiveEnd: true }),
    ...size,
  };
}

/**
 * Throws the MeshError for a failed commit. The library rejects with a general error that has
 * LMDB's own error in a promise.
 */
async function classify(error: unknown, path: string): Promise<never> {
  const cause = await causeOf(error);
  const number = (cause as { code?: unknown }).code;
  // LMDB reports a write that the disk took only in part as an I/O error; the free space shows
  // whether the disk is full.
  const full = fullCodes.has(number as number) || (number === ioErrorCode && (await isDiskFull(path)));
  if (full) throw brokerError('store.full', messageOf(cause), { cause });
  throw brokerError('store.failed', messageOf(cause), { cause, retriable: true });
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
