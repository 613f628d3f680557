/**
 * Checks the tiles of a TIFF that are JPEGs. libvips decodes these by itself and reports neither a
 * tile of another size nor one whose data ends early.
 */
import type { FileHandle } from 'node:fs/promises';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';
import { isFrameMarker } from './jpeg.ts';
import { readDirectory, tag } from './tiff.ts';

const tilesMax = 2 ** 22;
/** A tile begins with its frame, or with tables of some hundred bytes before it. */
const headBytes = 4_096;
/** Some programs fill up the end of a tile. */
const tailBytes = 64;
const endOfImage = Buffer.from([0xff, 0xd9]);

/** @throws MeshError `image.damaged`, `image.truncated` */
export async function checkJpegTiles(file: FileHandle, page: number): Promise<void> {
  const directory = await readDirectory(file, page);
  const offsets = await directory.numbers(tag.tileOffsets, tilesMax);
  const sizes = await directory.numbers(tag.tileByteCounts, tilesMax);
  if (offsets === undefined || sizes === undefined)
    throw imageError('image.damaged', 'the places of the tiles cannot be read');
  const expected = `${await directory.number(tag.tileWidth)} × ${await directory.number(tag.tileHeight)}`;
  for (const [tile, offset] of offsets.entries()) {
    const size = sizes[tile] ?? 0;
    const found = sizeOf(await exactly(file, offset, Math.min(size, headBytes)));
    if (found !== expected)
      throw imageError('image.damaged', `tile ${tile} has ${found ?? 'no'} pixels instead of ${expected}`);
    const tail = Math.min(size, tailBytes);
    if (!(await exactly(file, offset + size - tail, tail)).includes(endOfImage))
      throw imageError('image.truncated', `tile ${tile} ends before its pixels do`);
  }
}

/** The size that the frame of a JPEG states; undefined if the frame is not among these bytes. */
function sizeOf(bytes: Buffer): string | undefined {
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff;) {
    if (isFrameMarker(bytes[at + 1]!)) return `${bytes.readUInt16BE(at + 7)} × ${bytes.readUInt16BE(at + 5)}`;
    at += bytes[at + 1] === 0xff ? 1 : 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}
