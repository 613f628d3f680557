/** Spools as files: made empty, opened, read. */
import { open, type FileHandle } from 'node:fs/promises';
import { MeshError } from '@thermomesh/runtime';
import { imageFault } from './faults.ts';
import { pixelBytes, readLayout, type Layout, type SpoolShape } from './layout.ts';
import {
  readSpoolMetadata,
  readSpoolShape,
  writeSpoolFrame,
  type FrameOptions,
  type SpoolMetadata,
} from './spool-file.ts';
import { readDirectory } from './tiff.ts';

/** An open file of bare pixels: a spool, or an image whose pixels lie bare. */
export interface PixelFile {
  handle: FileHandle;
  layout: Layout;
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
export async function createSpool(
  file: string,
  shape: SpoolShape,
  metadata: SpoolMetadata,
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
 * Opens the pixels of a spool, or of an image whose pixels lie bare; `handle.close()` must follow.
 * @throws MeshError `image.spool_damaged`: these pixels are not there
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

/** The lists of a large image's tiles take a millisecond to read, and each of its chunks asks for them. */
const layoutsKeptMax = 8;
const layouts = new Map<string, Layout>();

async function layoutOf(
  file: string,
  handle: FileHandle,
  shape: SpoolShape,
  flags: 'r' | 'r+',
): Promise<Layout> {
  const { dev, ino, size, mtimeMs } = await handle.stat();
  // A file that pixels are written into changes all the time; where they lie in it does not.
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
    throw imageFault('image.spool_damaged', 'no TIFF of bare pixels', error);
  }
  if (layout !== undefined) return layout;
  throw imageFault(
    'image.spool_damaged',
    `no bare pixels of ${shape.width} × ${shape.height} × ${pixelBytes(shape)} bytes`,
  );
}
