/** Bytes that nobody keeps. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { blobTooLarge, type CreatedBlob } from '../core/blob-store.ts';

/** Length and hash of what a stream brings. @throws MeshError `blob.too_large` */
export async function discard(source: Readable, bytesMax: number): Promise<CreatedBlob> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw blobTooLarge('of the upload', bytesMax);
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Takes the rest of a request, up to a limit; then its connection is closed. */
export function drain(request: IncomingMessage, bytesMax: number): void {
  let bytes = 0;
  request.unpipe();
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bytesMax) request.destroy();
  });
  request.resume();
}
