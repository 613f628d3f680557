/** Names of blobs: which are allowed, and the errors of the blob store's port. */
import type { MeshError } from '@thermomesh/runtime';
import { equalizerError } from './errors.ts';

/** Largest blob that `BlobStore.read` reads into memory. */
export const readBytesMax = 16 * 1024 * 1024;

/** Longest key, in characters. */
export const keyLengthMax = 512;

const name = '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}';
const namePattern = new RegExp(`^${name}$`);
const keyPattern = new RegExp(`^${name}(?:/${name})*$`);

/** Whether `text` may be one part of a key. */
export function isBlobName(text: string): boolean {
  return namePattern.test(text);
}

/**
 * Checks a key; refuses everything that could escape the folder of a store.
 * @throws MeshError `blob.bad_key`
 */
export function checkBlobKey(key: string): void {
  if (key.length > keyLengthMax || !keyPattern.test(key)) throw badKey(key);
}

/** Checks a prefix, which ends with `/`. @throws MeshError `blob.bad_key` */
export function checkBlobPrefix(prefix: string): void {
  if (!prefix.endsWith('/')) throw badKey(prefix);
  checkBlobKey(prefix.slice(0, -1));
}

function badKey(key: string): MeshError {
  return equalizerError(
    'blob.bad_key',
    `${JSON.stringify(key.slice(0, keyLengthMax))} is not a valid key of a blob`,
  );
}

/** The error for a missing blob. */
export function blobNotFound(key: string, cause?: unknown): MeshError {
  return equalizerError('blob.not_found', `there is no blob ${key}`, { cause });
}

/** The error for a blob above the limit of the caller. */
export function blobTooLarge(key: string, bytesMax: number): MeshError {
  return equalizerError('blob.too_large', `the blob ${key} has more than ${bytesMax} bytes`);
}
