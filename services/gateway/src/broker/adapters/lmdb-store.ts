/**
 * The store on LMDB. Its pages are copy-on-write and it alternates between two meta pages, so a
 * half-written commit is never taken for a record.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDurableFolder, messageOf, syncFolder } from '@thermomesh/runtime';
import { open, type Database, type RootDatabase } from 'lmdb';
import { brokerError } from '../core/errors.ts';
import { tables, type Commit, type Operation, type Range, type Store, type Table } from '../core/ports.ts';

/** Errors that mean "no space", by number: ENOSPC, EDQUOT, EFBIG and LMDB's MDB_MAP_FULL. */
const fullCodes = new Set([28, 122, 27, -30792]);
const ioErrorCode = 5;
/** A disk with less free space than this counts as full. */
const freeBytesMin = 16 * 1024 * 1024;
/** LMDB crashes the process if the file is shorter than its two meta pages. */
const fileBytesMin = 2 * 4096;

export interface LmdbOptions {
  /** Folder of the store; it is made if it is missing. */
  path: string;
  /** Address space for the file, in bytes. The file itself is only as large as its content. */
  mapBytesMax: number;
}

type Bytes = Database<Buffer, Buffer>;

/** Opens or creates the store. @throws MeshError `store.failed` */
export async function openLmdbStore({ path, mapBytesMax }: LmdbOptions): Promise<Store> {
  let root: RootDatabase<Buffer, Buffer>;
  const databases = new Map<Table, Bytes>();
  try {
    makeDurableFolder(path);
    const file = join(path, 'data.mdb');
    if (!existsSync(file)) await makeFile(path, file, mapBytesMax);
    const { size } = statSync(file);
    if (size < fileBytesMin) {
      throw new RangeError(
        `data.mdb is cut off: it has ${size} bytes, and the shortest store has ${fileBytesMin}. ` +
          'Restore it, or move it away to begin with an empty store',
      );
    }
    root = openFile(path, { mapBytesMax, isFile: false });
    for (const name of tables) databases.set(name, openTable(root, name));
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
 * Makes the file under another name and renames it when all of it is on the disk: a power loss
 * leaves either no store or one that opens (I1). LMDB itself would write the meta pages in place.
 */
async function makeFile(folder: string, file: string, mapBytesMax: number): Promise<void> {
  const draft = join(folder, 'new.mdb');
  const drafts = [draft, `${draft}-lock`];
  for (const left of drafts) rmSync(left, { force: true });
  const root = openFile(draft, { mapBytesMax, isFile: true });
  for (const name of tables) openTable(root, name);
  await root.close();
  const descriptor = openSync(draft, 'r+');
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(draft, file);
  rmSync(`${draft}-lock`, { force: true });
}

function openFile(path: string, { mapBytesMax, isFile }: { mapBytesMax: number; isFile: boolean }) {
  return open<Buffer, Buffer>({
    path,
    noSubdir: isFile,
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
}

function openTable(root: RootDatabase<Buffer, Buffer>, name: Table): Bytes {
  return root.openDB({ name, encoding: 'binary', keyEncoding: 'binary' });
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
