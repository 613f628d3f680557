/** Reads the chunks of a PNG file (PNG, third edition, 5.3), without decoding its pixels. */
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';

/** The chunks before the pixels that decide how these are read. */
const decisive: readonly string[] = ['IHDR', 'PLTE', 'tRNS'];
/** The largest of them is a palette of 256 colours. */
const decisiveBytesMax = 768;

/**
 * Checks the sums of the chunks that decide how pixels are read. libpng would only report a wrong
 * one when the pixels are decoded.
 * @throws MeshError `image.damaged`
 */
export async function checkPngHeader(file: FileHandle, fileBytes: number): Promise<void> {
  for (let at = 8; at + 12 <= fileBytes;) {
    const head = await exactly(file, at, 8);
    const bytes = head.readUInt32BE(0);
    const name = head.toString('latin1', 4, 8);
    if (name === 'IDAT' || name === 'IEND') return;
    const end = at + 12 + bytes;
    if (decisive.includes(name) && bytes <= decisiveBytesMax && end <= fileBytes) {
      const chunk = await exactly(file, at + 4, bytes + 8);
      if (crc32(chunk.subarray(0, bytes + 4)) !== chunk.readUInt32BE(bytes + 4))
        throw imageError('image.damaged', `the sum of the PNG chunk ${name} is wrong`);
    }
    at = end;
  }
}
