/**
 * Reads and writes whole blocks of a file. The synchronous functions run in worker threads, where
 * blocking the event loop does no harm.
 */
import { readSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { imageError } from './errors.ts';

/**
 * Fills `into` from `position` on.
 * @throws MeshError `image.spool_damaged` if the file ends before
 */
export function readBytes(fd: number, position: number, into: Uint8Array): void {
  let done = 0;
  while (done < into.length) {
    const read = readSync(fd, into, done, into.length - done, position + done);
    if (read === 0)
      throw imageError('image.spool_damaged', `the file ends before byte ${position + into.length}`);
    done += read;
  }
}

/** Writes all of `from` at `position`. */
export function writeBytes(fd: number, position: number, from: Uint8Array): void {
  let done = 0;
  while (done < from.length) done += writeSync(fd, from, done, from.length - done, position + done);
}

const readBytesMax = 64 * 1024 * 1024;

/** Reads exactly `bytes` bytes. @throws MeshError `image.truncated` if the file ends before */
export async function exactly(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  if (bytes > readBytesMax) throw imageError('image.damaged', `a field of ${bytes} bytes`);
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, offset + done);
    if (bytesRead === 0) throw imageError('image.truncated', `the file ends before byte ${offset + bytes}`);
    done += bytesRead;
  }
  return buffer;
}
