/**
 * The blob store on a folder that all nodes share. A blob is written to a temporary folder beside
 * its final path, synced and renamed, so that no reader ever sees an incomplete one. Paths equal
 * keys, so that operators can inspect the folder.
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
} from '../core/blob-keys.ts';
import { equalizerError } from '../core/errors.ts';
import type { BlobStore, CreatedBlob, JobBlobs } from '../core/ports.ts';

export interface FsBlobsOptions {
  /** Shared by all nodes; created if it does not exist. */
  folder: string;
  nowMs?: () => number;
}

/**
 * Folder of incomplete blobs. No key may begin with a dot, so no key leads into it and no listing
 * shows it.
 */
const temporaryName = '.aside';
const jobsName = 'jobs';

/** Opens the store. @throws MeshError `blob.io`, `blob.no_space` if the folder cannot be created */
export async function openFsBlobs(options: FsBlobsOptions): Promise<BlobStore> {
  const folder = path.resolve(options.folder);
  await withBlobErrors(() => mkdir(path.join(folder, jobsName), { recursive: true, mode: 0o750 }));
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
    // The stream may fail before the pipeline below listens; the pipeline then rejects at once.
    source.on('error', () => undefined);
    await this.#inTemporaryFolder(place, async (file) => {
      const target = createWriteStream(file, { mode: 0o640 });
      try {
        await pipeline(source, measure, target, { ...(signal === undefined ? {} : { signal }) });
      } catch (error) {
        // Errors of the file system name a system call; errors of the source pass unchanged.
        const isOurs = error !== source.errored && error instanceof Error && 'syscall' in error;
        throw isOurs ? blobErrorOf(error, key) : error;
      }
      await withBlobErrors(() => this.#settle(file, place, true), key);
    });
    return measure.result();
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.write(key, async (file) => withBlobErrors(() => writeFile(file, bytes, { mode: 0o640 }), key));
  }

  async write<T>(
    key: string,
    make: (file: string) => Promise<T>,
    { durable = true }: { durable?: boolean } = {},
  ): Promise<T> {
    const place = this.#placeOf(key);
    return this.#inTemporaryFolder(place, async (file) => {
      const made = await make(file);
      await withBlobErrors(() => this.#settle(file, place, durable), key);
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
    const handle = await withBlobErrors(() => open(file, 'r'), key);
    try {
      const { size: bytes } = await handle.stat();
      // The stream closes the handle at its end, and when it is destroyed.
      return { bytes, stream: handle.createReadStream() };
    } catch (error) {
      await handle.close();
      throw blobErrorOf(error, key);
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
      throw blobErrorOf(error, key);
    }
  }

  async remove(key: string): Promise<void> {
    const file = this.#placeOf(key);
    await withBlobErrors(() => rm(file, { force: true }), key);
    await this.#prune(path.dirname(file));
  }

  async removeAll(prefix: string): Promise<void> {
    checkBlobPrefix(prefix);
    const folder = path.join(this.#folder, ...prefix.slice(0, -1).split('/'));
    await withBlobErrors(() => rm(folder, removal), prefix);
  }

  async listJobs(): Promise<JobBlobs[]> {
    const folder = path.join(this.#folder, jobsName);
    const entries = await withBlobErrors(() => readdir(folder, { withFileTypes: true }));
    const jobs: JobBlobs[] = [];
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
    return withBlobErrors(async () => {
      const handle = await open(file, 'r');
      try {
        return await use(handle, (await handle.stat()).size);
      } finally {
        await handle.close();
      }
    }, key);
  }

  /**
   * Calls `use` with a path in an empty temporary folder on the same file system, and removes the
   * folder afterwards.
   */
  async #inTemporaryFolder<T>(place: string, use: (file: string) => Promise<T>): Promise<T> {
    const temporary = path.join(path.dirname(place), temporaryName);
    const folder = path.join(temporary, randomUUID());
    await withBlobErrors(() => makeFolder(folder));
    try {
      return await use(path.join(folder, 'blob'));
    } finally {
      await withBlobErrors(() => rm(folder, removal));
      await this.#prune(temporary);
    }
  }

  /**
   * Moves a file to its final path. If `durable`, its bytes and its name survive a power loss from
   * then on.
   */
  async #settle(file: string, place: string, durable: boolean): Promise<void> {
    if (durable) await syncPath(file);
    await rename(file, place);
    if (!durable) return;
    for (let folder = path.dirname(place); ; folder = path.dirname(folder)) {
      await syncPath(folder);
      if (folder === this.#folder) return;
    }
  }

  /**
   * Removes empty folders from here upward, so that a refused blob leaves nothing behind.
   */
  async #prune(from: string): Promise<void> {
    const kept = [this.#folder, path.join(this.#folder, jobsName)];
    for (let folder = from; !kept.includes(folder); folder = path.dirname(folder)) {
      try {
        await rmdir(folder);
      } catch (error) {
        if (isMissing(error)) continue;
        if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) return;
        throw blobErrorOf(error);
      }
    }
  }
}

/** Another writer may create a file in the folder while it is being removed, so removal retries. */
const removal = { recursive: true, force: true, maxRetries: 3, retryDelay: 20 } as const;
const makeAttemptsMax = 10;

/** Creates a folder and its parents, although another process may remove empty ones meanwhile. */
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

/** Counts and hashes the bytes of a stream, and fails above a limit. */
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

/** Time of the latest change below a folder; undefined if the folder is gone. */
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
    if (!isMissing(error)) throw blobErrorOf(error);
  }
  return latest;
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

/** Runs `work`; an error of the file system becomes one of the port. */
async function withBlobErrors<T>(work: () => Promise<T>, key?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw blobErrorOf(error, key);
  }
}

/** Maps an error of the file system to one of the port. */
function blobErrorOf(error: unknown, key = 'a blob'): MeshError {
  if (error instanceof MeshError) return error;
  if (isMissing(error) || codeOf(error) === 'EISDIR') return blobNotFound(key, error);
  const code = ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '') ? 'blob.no_space' : 'blob.io';
  return equalizerError(code, `${key}: ${messageOf(error)}`, { cause: error });
}
