/** Creates, opens and reads spools. */
import { open, type FileHandle } from 'node:fs/promises';
import { MeshError } from '@thermomesh/runtime';
import { imageError } from '../errors.ts';
import type { ImageMetadata } from '../metadata.ts';
import { pixelBytes, readLayout, type Layout, type SpoolShape } from '../formats/layout.ts';
import { readSpoolMetadata, readSpoolShape, writeSpoolFrame, type FrameOptions } from './spool-file.ts';
import { readDirectory } from '../formats/tiff.ts';

/** An open file of bare pixels: a spool, or a bare image. */
export interface PixelFile {
  handle: FileHandle;
  layout: Layout;
}

/**
 * Reads the shape and the metadata of a spool.
 * @throws MeshError `image.spool_damaged`
 */
export async function readSpool(file: string): Promise<{ shape: SpoolShape; metadata: ImageMetadata }> {
  const handle = await open(file, 'r');
  try {
    return { shape: await readSpoolShape(handle), metadata: await readSpoolMetadata(handle) };
  } finally {
    await handle.close();
  }
}

/**
 * Creates a sparse spool whose pixels are zeros and take no disk space until they are written. An
 * existing file is overwritten.
 */
export async function createSpool(
  file: string,
  shape: SpoolShape,
  metadata: ImageMetadata,
  options: FrameOptions = {},
): Promise<void> {
  const handle = await open(file, 'w+');
  try {
    await writeSpoolFrame(handle, shape, metadata, options);
  } finally {
    await handle.close();
  }
}

/**
 * Opens the pixels of a spool or of a bare image; the caller must call `handle.close()`.
 * @throws MeshError `image.spool_damaged` if the file does not contain pixels of this shape
 */
export async function openPixels(file: string, shape: SpoolShape, flags: 'r' | 'r+'): Promise<PixelFile> {
  const handle = await open(file, flags);
  try {
    return { handle, layout: await layoutOf(file, handle, shape, flags) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Layouts that are kept in memory, because reading the tile lists of a large image takes a
 * millisecond, and each of its chunks needs them.
 */
const layoutsKeptMax = 8;
const layouts = new Map<string, Layout>();

async function layoutOf(
  file: string,
  handle: FileHandle,
  shape: SpoolShape,
  flags: 'r' | 'r+',
): Promise<Layout> {
  const { dev, ino, size, mtimeMs } = await handle.stat();
  // A file that is being written to changes all the time, but its layout does not.
  const key = JSON.stringify([file, dev, ino, size, shape, flags === 'r' ? mtimeMs : flags]);
  const known = layouts.get(key) ?? (await layoutIn(handle, shape));
  layouts.delete(key);
  layouts.set(key, known);
  const [oldest] = layouts.keys();
  if (layouts.size > layoutsKeptMax && oldest !== undefined) layouts.delete(oldest);
  return known;
}

async function layoutIn(handle: FileHandle, shape: SpoolShape): Promise<Layout> {
  let layout: Layout | undefined;
  try {
    layout = await readLayout(handle, await readDirectory(handle, 0), shape);
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    throw imageError('image.spool_damaged', 'the file is not a TIFF of bare pixels', { cause: error });
  }
  if (layout !== undefined) return layout;
  throw imageError(
    'image.spool_damaged',
    `the file has no bare pixels of ${shape.width} × ${shape.height} × ${pixelBytes(shape)} bytes`,
  );
}
