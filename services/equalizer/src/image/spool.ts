/** Reading and writing rectangles of a spool. Synchronous: this runs in worker threads, where nobody waits for the event loop. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { imageFault } from './faults.ts';
import {
  pixelBytes,
  readSpoolMetadata,
  readSpoolShape,
  spoolDataOffset,
  writeSpoolFrame,
  type SpoolMetadata,
  type SpoolShape,
} from './spool-file.ts';

/** A part of an image, in pixels. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Pixels that follow each other both in the image and in the rectangle. */
export interface Run {
  /** The first one's index in the image. */
  at: number;
  /** The first one's index in the rectangle, taken by itself. */
  inside: number;
  pixels: number;
}

/** An open place for pixels: a spool, or a file of one rectangle's pixels and nothing else. */
export interface PixelFile {
  fd: number;
  /** Where the first pixel is. */
  offset: number;
  pixelBytes: number;
}

/**
 * Reads what a spool holds.
 * @throws MeshError `image.spool_damaged`
 */
export async function readSpool(file: string): Promise<{ shape: SpoolShape; metadata: SpoolMetadata }> {
  const handle = await open(file, 'r');
  try {
    return { shape: await readSpoolShape(handle), metadata: await readSpoolMetadata(handle) };
  } finally {
    await handle.close();
  }
}

/** Makes a spool whose pixels are zeros that take no room until they are written; an existing one is begun anew. */
export async function createSpool(file: string, shape: SpoolShape, metadata: SpoolMetadata): Promise<void> {
  const handle = await open(file, 'w+');
  try {
    await writeSpoolFrame(handle, shape, metadata);
  } finally {
    await handle.close();
  }
}

/**
 * Makes the spool that the result of another goes into: the same size, depth and metadata. The ICC profile is left out if colour
 * becomes grey, for which an RGB profile has no meaning.
 */
export async function createResultSpool(
  source: string,
  result: string,
  channels: SpoolShape['channels'],
): Promise<SpoolShape> {
  const { shape, metadata } = await readSpool(source);
  const { icc, ...rest } = metadata;
  const turnsGrey = shape.channels >= 3 && channels < 3;
  const kept = turnsGrey || icc === undefined ? rest : metadata;
  const resultShape = { ...shape, channels };
  await createSpool(result, resultShape, kept);
  return resultShape;
}

/** Opens the pixels of a spool whose shape is known; {@link closePixels} must follow. */
export function openSpoolPixels(file: string, shape: SpoolShape, flags: 'r' | 'r+'): PixelFile {
  return { fd: openSync(file, flags), offset: spoolDataOffset, pixelBytes: pixelBytes(shape) };
}

/** Opens a file of bare pixels; `w` begins it anew. */
export function openBarePixels(file: string, shape: SpoolShape, flags: 'r' | 'w'): PixelFile {
  return { fd: openSync(file, flags), offset: 0, pixelBytes: pixelBytes(shape) };
}

export function closePixels(pixels: PixelFile): void {
  closeSync(pixels.fd);
}

/** @throws MeshError `image.outside`: the rectangle is empty, not whole numbers, or not inside the image */
export function checkRectangle(shape: SpoolShape, rectangle: Rectangle): void {
  const { left, top, width, height } = rectangle;
  const numbers = [left, top, width, height].every((number) => Number.isSafeInteger(number));
  const inside =
    left >= 0 &&
    top >= 0 &&
    width > 0 &&
    height > 0 &&
    left + width <= shape.width &&
    top + height <= shape.height;
  if (numbers && inside) return;
  throw imageFault(
    'image.outside',
    `${width} × ${height} at ${left}, ${top} is not inside ${shape.width} × ${shape.height}`,
  );
}

/** Cuts a rectangle into runs of at most `pixelsMax`; rows over the whole width flow together. */
export function* runsOf(shape: SpoolShape, rectangle: Rectangle, pixelsMax: number): Generator<Run> {
  const { left, top, width, height } = rectangle;
  const [rows, length] = width === shape.width ? [1, width * height] : [height, width];
  for (let row = 0; row < rows; row++) {
    for (let done = 0; done < length; done += pixelsMax) {
      yield {
        at: (top + row) * shape.width + left + done,
        inside: row * width + done,
        pixels: Math.min(pixelsMax, length - done),
      };
    }
  }
}

/** @throws MeshError `image.spool_damaged`: the file ends before */
export function readPixels(file: PixelFile, at: number, into: Uint8Array): void {
  const position = file.offset + at * file.pixelBytes;
  let done = 0;
  while (done < into.length) {
    const read = readSync(file.fd, into, done, into.length - done, position + done);
    if (read === 0)
      throw imageFault('image.spool_damaged', `pixels end before ${at + into.length / file.pixelBytes}`);
    done += read;
  }
}

export function writePixels(file: PixelFile, at: number, from: Uint8Array): void {
  const position = file.offset + at * file.pixelBytes;
  let done = 0;
  while (done < from.length) done += writeSync(file.fd, from, done, from.length - done, position + done);
}
