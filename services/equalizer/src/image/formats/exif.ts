/**
 * Inserts an EXIF block unchanged into a file that libvips wrote without it. libvips reads no EXIF
 * from a spool, and a block that it writes itself differs (maker notes contain offsets).
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import type { ImageFormat } from './formats.ts';
import { exactly } from '../bytes.ts';

/** One replacement: `remove` bytes at `at` are replaced by `insert`. */
interface Splice {
  at: number;
  remove: number;
  insert: Buffer;
}

const segmentBytesMax = 65_533;

/**
 * Inserts an EXIF block into an image file. A TIFF gets none: its EXIF is a directory, whose
 * offsets would have to be rewritten.
 */
export async function putExif(file: string, format: ImageFormat, exif: Buffer): Promise<void> {
  if (format === 'tiff') return;
  const handle = await open(file, 'r+');
  let splices: Splice[];
  try {
    splices = await { jpeg: jpegSplices, png: pngSplices, webp: webpSplices }[format](handle, exif);
  } finally {
    await handle.close();
  }
  if (splices.length > 0) await rewrite(file, splices);
}

async function rewrite(file: string, splices: Splice[]): Promise<void> {
  const aside = `${file}.exif`;
  try {
    await pipeline(pieces(file, splices), createWriteStream(aside));
    await rename(aside, file);
  } finally {
    await rm(aside, { force: true });
  }
}

async function* pieces(file: string, splices: Splice[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const { at, remove, insert } of splices) {
    if (at > from) yield* createReadStream(file, { start: from, end: at - 1 }) as AsyncIterable<Buffer>;
    yield insert;
    from = at + remove;
  }
  yield* createReadStream(file, { start: from }) as AsyncIterable<Buffer>;
}

/**
 * JPEG: APP1 right after SOI; an APP1 with EXIF from libvips is removed. A block above 64 KiB does
 * not fit and cannot come from a JPEG.
 */
async function jpegSplices(file: FileHandle, exif: Buffer): Promise<Splice[]> {
  const body = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exif]);
  if (body.length > segmentBytesMax) return [];
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  const splices: Splice[] = [{ at: 2, remove: 0, insert: Buffer.concat([head, body]) }];
  for (let at = 2; ;) {
    const segment = await exactly(file, at, 10);
    const isApp = segment[0] === 0xff && segment[1]! >= 0xe0 && segment[1]! <= 0xef;
    if (!isApp) return splices;
    const bytes = segment.readUInt16BE(2) + 2;
    if (segment[1] === 0xe1 && segment.toString('latin1', 4, 10) === 'Exif\0\0') {
      splices.push({ at, remove: bytes, insert: Buffer.alloc(0) });
    }
    at += bytes;
  }
}

/** PNG: `eXIf` right after IHDR; one from libvips is removed. */
async function pngSplices(file: FileHandle, exif: Buffer): Promise<Splice[]> {
  const afterHeader = 33;
  const splices: Splice[] = [{ at: afterHeader, remove: 0, insert: pngChunk('eXIf', exif) }];
  for (let at = afterHeader; ;) {
    const head = await exactly(file, at, 8);
    const bytes = head.readUInt32BE(0) + 12;
    const name = head.toString('latin1', 4, 8);
    if (name === 'IDAT' || name === 'IEND') return splices;
    if (name === 'eXIf') splices.push({ at, remove: bytes, insert: Buffer.alloc(0) });
    at += bytes;
  }
}

function pngChunk(name: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const chunk = Buffer.alloc(typed.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  typed.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(typed), typed.length + 4);
  return chunk;
}

/**
 * WebP: replaces the `EXIF` chunk that libvips wrote for the orientation. A file without one has no
 * VP8X header and cannot hold EXIF.
 */
async function webpSplices(file: FileHandle, exif: Buffer): Promise<Splice[]> {
  const { size } = await file.stat();
  for (let at = 12; at + 8 <= size;) {
    const head = await exactly(file, at, 8);
    const bytes = head.readUInt32LE(4);
    const padded = bytes + (bytes % 2) + 8;
    if (head.toString('latin1', 0, 4) === 'EXIF') {
      const chunk = Buffer.alloc(8 + exif.length + (exif.length % 2));
      chunk.write('EXIF', 0, 'latin1');
      chunk.writeUInt32LE(exif.length, 4);
      exif.copy(chunk, 8);
      const riff = Buffer.alloc(4);
      riff.writeUInt32LE(size - 8 - padded + chunk.length);
      return [
        { at: 4, remove: 4, insert: riff },
        { at, remove: padded, insert: chunk },
      ];
    }
    at += padded;
  }
  return [];
}
