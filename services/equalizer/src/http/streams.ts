/** Reads streams whose bytes are not kept. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { blobTooLarge } from '../core/blob-keys.ts';
import type { CreatedBlob } from '../core/ports.ts';

/** Reads a stream to its end; returns its length and hash. @throws MeshError `blob.too_large` */
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

/** Reads the rest of a request; beyond the limit its connection is closed. */
export function drain(request: IncomingMessage, bytesMax: number): void {
  let bytes = 0;
  request.unpipe();
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bytesMax) request.destroy();
  });
  request.resume();
}
