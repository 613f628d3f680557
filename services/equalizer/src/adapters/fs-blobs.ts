/**
 * The blob store on a folder that all nodes share. A blob is written in a folder of its own beside its place, made durable and moved
 * there, so nobody ever sees a part of one. The same layout as the keys, so that people can look.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, stat, writeFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { codeOf, MeshError, messageOf } from '@thermomesh/runtime';
import {
  blobNotFound,
  blobTooLarge,
  checkBlobKey,
  checkBlobPrefix,
  isBlobName,
  readBytesMax,
  type BlobStore,
  type CreatedBlob,
  type StoredJob,
} from '../core/blob-store.ts';

export interface FsBlobsOptions {
  /** Shared by all nodes; made if it is not there. */
  folder: string;
  nowMs?: () => number;
}

/** Begins with what no key can contain: halves are in no listing of keys, and no key leads into them. */
const asideName = '.aside';
const jobsName = 'jobs';

/** @throws MeshError `blob.io`, `blob.no_space` if the folder cannot be made */
export async function openFsBlobs(options: FsBlobsOptions): Promise<BlobStore> {
  const folder = path.resolve(options.folder);
  await named(() => mkdir(path.join(folder, jobsName), { recursive: true, mode: 0o750 }));
  return new FsBlobs(folder, options.nowMs ?? Date.now);
}

class FsBlobs implements BlobStore {
  readonly #folder: string;
  readonly #nowMs: () => number;

  constructor(folder: string, nowMs: () => number) {
    this.#folder = folder;
    this.#nowMs = nowMs;
  }

  async createFromStream(
    key: string,
    source: Readable,
    { bytesMax, signal }: { bytesMax: number; signal?: AbortSignal },
  ): Promise<CreatedBlob> {
    const place = this.#placeOf(key);
    const measure = new Measure(key, bytesMax);
    // It may fail before the pipeline below hears of it, which then finds it failed.
    source.on('error', () => undefined);
    await this.#aside(place, async (file) => {
      const target = createWriteStream(file, { mode: 0o640 });
      try {
        await pipeline(source, measure, target, { ...(signal === undefined ? {} : { signal }) });
      } catch (error) {
        // What the file system says has a system call to its name; the source's own errors pass.
        const own = error !== source.errored && error instanceof Error && 'syscall' in error;
        throw own ? nameFault(error, key) : error;
      }
      await named(() => this.#settle(file, place, true), key);
    });
    return measure.result();
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.write(key, async (file) => named(() => writeFile(file, bytes, { mode: 0o640 }), key));
  }

  async write<T>(
    key: string,
    make: (file: string) => Promise<T>,
    { durable = true }: { durable?: boolean } = {},
  ): Promise<T> {
    const place = this.#placeOf(key);
    return this.#aside(place, async (file) => {
      const made = await make(file);
      await named(() => this.#settle(file, place, durable), key);
      return made;
    });
  }

  async read(key: string): Promise<Buffer> {
    return this.#open(key, async (handle, bytes) => {
      if (bytes > readBytesMax) throw blobTooLarge(key, readBytesMax);
      return handle.readFile();
    });
  }

  async stream(key: string): Promise<{ bytes: number; stream: Readable }> {
    const file = this.#placeOf(key);
    const handle = await named(() => open(file, 'r'), key);
    try {
      const { size: bytes } = await handle.stat();
      // Closes the handle at its end, and when it is destroyed.
      return { bytes, stream: handle.createReadStream() };
    } catch (error) {
      await handle.close();
      throw nameFault(error, key);
    }
  }

  localPath(key: string): string {
    return this.#placeOf(key);
  }

  async exists(key: string): Promise<boolean> {
    const file = this.#placeOf(key);
    try {
      return (await stat(file)).isFile();
    } catch (error) {
      if (isMissing(error)) return false;
      throw nameFault(error, key);
    }
  }

  async remove(key: string): Promise<void> {
    const file = this.#placeOf(key);
    await named(() => rm(file, { force: true }), key);
    await this.#prune(path.dirname(file));
  }

  async removeAll(prefix: string): Promise<void> {
    checkBlobPrefix(prefix);
    const folder = path.join(this.#folder, ...prefix.slice(0, -1).split('/'));
    await named(() => rm(folder, removal), prefix);
  }

  async listJobs(): Promise<StoredJob[]> {
    const folder = path.join(this.#folder, jobsName);
    const entries = await named(() => readdir(folder, { withFileTypes: true }));
    const jobs: StoredJob[] = [];
    for (const entry of entries) {
      if (!entry.isDirectory() || !isBlobName(entry.name)) continue;
      const writtenAtMs = await lastWriteMs(path.join(folder, entry.name));
      if (writtenAtMs !== undefined)
        jobs.push({ id: entry.name, ageMs: Math.max(0, this.#nowMs() - writtenAtMs) });
    }
    return jobs;
  }

  #placeOf(key: string): string {
    checkBlobKey(key);
    return path.join(this.#folder, ...key.split('/'));
  }

  async #open<T>(key: string, use: (handle: FileHandle, bytes: number) => Promise<T>): Promise<T> {
    const file = this.#placeOf(key);
    return named(async () => {
      const handle = await open(file, 'r');
      try {
        return await use(handle, (await handle.stat()).size);
      } finally {
        await handle.close();
      }
    }, key);
  }

  /** Calls with a path in an empty folder of its own, on the same file system, which goes with whatever is left in it. */
  async #aside<T>(place: string, use: (file: string) => Promise<T>): Promise<T> {
    const asides = path.join(path.dirname(place), asideName);
    const folder = path.join(asides, randomUUID());
    await named(() => makeFolder(folder));
    try {
      return await use(path.join(folder, 'blob'));
    } finally {
      await named(() => rm(folder, removal));
      await this.#prune(asides);
    }
  }

  /** Moves a file to its place; if `durable`, both its bytes and its name survive a power loss from then on. */
  async #settle(file: string, place: string, durable: boolean): Promise<void> {
    if (durable) await syncPath(file);
    await rename(file, place);
    if (!durable) return;
    for (let folder = path.dirname(place); ; folder = path.dirname(folder)) {
      await syncPath(folder);
      if (folder === this.#folder) return;
    }
  }

  /** Removes folders from here upward as long as they are empty: what was refused leaves nothing. */
  async #prune(from: string): Promise<void> {
    const kept = [this.#folder, path.join(this.#folder, jobsName)];
    for (let folder = from; !kept.includes(folder); folder = path.dirname(folder)) {
      try {
        await rmdir(folder);
      } catch (error) {
        if (isMissing(error)) continue;
        if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) return;
        throw nameFault(error);
      }
    }
  }
}

/** Who writes just now may put something into a folder that is being emptied. */
const removal = { recursive: true, force: true, maxRetries: 3, retryDelay: 20 } as const;
const makeAttemptsMax = 10;

/** Makes a folder and those above it, though somebody who finds them empty may be removing them. */
async function makeFolder(folder: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      return;
    } catch (error) {
      if (!isMissing(error) || attempt === makeAttemptsMax) throw error;
    }
  }
}

async function syncPath(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Counts and hashes what flows through, and stops it above a limit. */
class Measure extends Transform {
  readonly #key: string;
  readonly #bytesMax: number;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  constructor(key: string, bytesMax: number) {
    super();
    this.#key = key;
    this.#bytesMax = bytesMax;
  }

  override _transform(chunk: Buffer, _encoding: string, done: (error: Error | null, chunk?: Buffer) => void) {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) return done(blobTooLarge(this.#key, this.#bytesMax));
    this.#hash.update(chunk);
    done(null, chunk);
  }

  result(): CreatedBlob {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}

/** The latest change of anything below; undefined if the folder is gone. */
async function lastWriteMs(folder: string): Promise<number | undefined> {
  let latest: number | undefined;
  try {
    latest = (await stat(folder)).mtimeMs;
    for (const name of await readdir(folder, { recursive: true })) {
      const changed = await stat(path.join(folder, name)).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      latest = Math.max(latest, changed?.mtimeMs ?? 0);
    }
  } catch (error) {
    if (!isMissing(error)) throw nameFault(error);
  }
  return latest;
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

async function named<T>(work: () => Promise<T>, key?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw nameFault(error, key);
  }
}

/** What the file system says, in the words of the port. */
function nameFault(error: unknown, key = 'a blob'): MeshError {
  if (error instanceof MeshError) return error;
  if (isMissing(error) || codeOf(error) === 'EISDIR') return blobNotFound(key, error);
  const code = ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '') ? 'blob.no_space' : 'blob.io';
  return new MeshError(code, `${key}: ${messageOf(error)}`, { cause: error, retriable: true });
}
