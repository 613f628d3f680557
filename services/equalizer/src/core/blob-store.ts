/**
 * Where images, decoded pixels and larger tables lie: files with names, outside ZooKeeper and Kafka, that every node can read.
 * Kept to `core/conformance/blob-store.ts`.
 */
import type { Readable } from 'node:stream';
import { MeshError } from '@thermomesh/runtime';

/**
 * The port. Keys are `/`-separated names (see {@link checkBlobKey}); those of a job begin with `blobsOf(id).prefix`. The upload of a
 * job is `submission.input`: its key differs from attempt to attempt, so that two uploads under one id never touch each other.
 *
 * A blob appears whole under its key or not at all, and replaces the one before it at one moment: who has that open reads on in it.
 *
 * Codes of the errors: `blob.bad_key`, `blob.not_found`, `blob.too_large`; `blob.no_space`, `blob.io` (both retriable). What `make`
 * or the source of a stream throws passes as it is.
 */
export interface BlobStore {
  /** Stores what the stream brings. If it fails, ends early by an error or brings more than `bytesMax`, nothing is left of it. */
  createFromStream(key: string, source: Readable, options: CreateOptions): Promise<CreatedBlob>;
  /** Stores a few bytes. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /**
   * Stores the file that `make` writes to the path it is given (in an empty folder that goes afterwards with whatever else is in it).
   * @returns what `make` returned
   */
  write<T>(key: string, make: (path: string) => Promise<T>, options?: WriteOptions): Promise<T>;
  /** The whole blob in memory: for tables and histograms. @throws MeshError also `blob.too_large`, above {@link readBytesMax} */
  read(key: string): Promise<Buffer>;
  /** The blob from its beginning, and its length; of one that is replaced or removed meanwhile, the whole former one. */
  stream(key: string): Promise<{ bytes: number; stream: Readable }>;
  /**
   * A path of this machine for image code, which works on files: to read, or, for spools, to write rectangles in place. It promises no
   * blob (opening it says `ENOENT`). A store that is a shared folder answers with the file itself; another one would keep a local
   * copy and bring written rectangles back.
   */
  localPath(key: string): string;
  exists(key: string): Promise<boolean>;
  /** Removes one blob. Nothing happens if there is none. */
  remove(key: string): Promise<void>;
  /** Removes every blob below a prefix, which ends with `/`. Nothing happens if there is none. */
  removeAll(prefix: string): Promise<void>;
  /** The jobs that have blobs, halves of them included. */
  listJobs(): Promise<StoredJob[]>;
}

export interface CreateOptions {
  /** One byte more is `blob.too_large`. */
  bytesMax: number;
  signal?: AbortSignal;
}

export interface CreatedBlob {
  bytes: number;
  /** In hexadecimal digits. */
  sha256: string;
}

export interface WriteOptions {
  /** False for what can be made again after a power loss, such as decoded pixels: then it costs no fsync. Default true. */
  durable?: boolean;
}

export interface StoredJob {
  id: string;
  /** Since something of it was last written. */
  ageMs: number;
}

/** Largest blob that {@link BlobStore.read} takes into memory. */
export const readBytesMax = 16 * 1024 * 1024;

/** Longest key, in characters. */
export const keyLengthMax = 512;

const name = '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}';
const namePattern = new RegExp(`^${name}$`);
const keyPattern = new RegExp(`^${name}(?:/${name})*$`);

/** Whether it may be one part of a key. */
export function isBlobName(text: string): boolean {
  return namePattern.test(text);
}

/** Refuses everything that could be another place in a file system. @throws MeshError `blob.bad_key` */
export function checkBlobKey(key: string): void {
  if (key.length > keyLengthMax || !keyPattern.test(key)) throw badKey(key);
}

/** @throws MeshError `blob.bad_key` */
export function checkBlobPrefix(prefix: string): void {
  if (!prefix.endsWith('/')) throw badKey(prefix);
  checkBlobKey(prefix.slice(0, -1));
}

function badKey(key: string): MeshError {
  return new MeshError('blob.bad_key', `${JSON.stringify(key.slice(0, keyLengthMax))} is no key of a blob`);
}

/** There is no such blob. */
export function blobNotFound(key: string, cause?: unknown): MeshError {
  return new MeshError('blob.not_found', `there is no blob ${key}`, { cause });
}

/** More bytes than the caller allows. */
export function blobTooLarge(key: string, bytesMax: number): MeshError {
  return new MeshError('blob.too_large', `the blob ${key} has more than ${bytesMax} bytes`);
}
