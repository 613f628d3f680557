/** Whole blocks of bytes of a file. Synchronous: this runs in worker threads, where nobody waits for the event loop. */
import { readSync, writeSync } from 'node:fs';
import { imageFault } from './faults.ts';

/** @throws MeshError `image.spool_damaged`: the file ends before */
export function readBytes(fd: number, position: number, into: Uint8Array): void {
  let done = 0;
  while (done < into.length) {
    const read = readSync(fd, into, done, into.length - done, position + done);
    if (read === 0)
      throw imageFault('image.spool_damaged', `the file ends before byte ${position + into.length}`);
    done += read;
  }
}

export function writeBytes(fd: number, position: number, from: Uint8Array): void {
  let done = 0;
  while (done < from.length) done += writeSync(fd, from, done, from.length - done, position + done);
}
