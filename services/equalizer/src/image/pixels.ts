/**
 * Counts and maps the pixels of rectangles. It uses a few blocks of memory, however large the
 * rectangle is.
 */
import {
  applyTables,
  emptyRaster,
  histogramOf,
  type EqualizationPlan,
  type Histogram,
  type LookupTables,
  type Raster,
  type Samples,
} from '@thermomesh/equalization';
import { readBytes, writeBytes } from './bytes.ts';
import { imageError } from './errors.ts';
import {
  checkRectangle,
  pixelBytes,
  placeOf,
  spanPixels,
  spansOf,
  type Layout,
  type Rectangle,
  type SpoolShape,
} from './formats/layout.ts';
import { openPixels, type PixelFile } from './spool/spool.ts';

/** Size of the blocks that are read, processed and written. */
export const blockBytes = 1024 * 1024;
/** The block of this thread: rectangles are processed one after the other, without interruption. */
const block = new ArrayBuffer(blockBytes);

/**
 * Counts the pixels of a rectangle.
 * @param source a spool, or a bare image
 * @throws MeshError `image.outside`, `image.spool_damaged`; EqualizationError
 */
export async function countRectangle(
  source: string,
  shape: SpoolShape,
  plan: EqualizationPlan,
  rectangle: Rectangle,
): Promise<Histogram> {
  checkPlan(plan, shape);
  checkRectangle(shape, rectangle);
  const counts = new Uint32Array(plan.planes * plan.bins);
  const file = await openPixels(source, shape, 'r');
  try {
    for (const { raster } of blocksOf(file, shape, [file.layout], rectangle))
      histogramOf(plan, raster, counts);
  } finally {
    await file.handle.close();
  }
  return { pixels: rectangle.width * rectangle.height, counts };
}

/**
 * Maps the pixels of a rectangle through the tables into their places in the result. Equal calls
 * write equal bytes, so neither a repetition nor a concurrent writer of another rectangle does
 * harm.
 * @param result the file that `createResult` has made for `source`
 * @returns number of bytes written
 * @throws MeshError `image.outside`, `image.spool_damaged`; EqualizationError
 */
export async function mapRectangle(
  source: string,
  shape: SpoolShape,
  plan: EqualizationPlan,
  tables: LookupTables,
  rectangle: Rectangle,
  result: string,
): Promise<number> {
  checkPlan(plan, shape);
  checkRectangle(shape, rectangle);
  const from = await openPixels(source, shape, 'r');
  try {
    const to = await openPixels(result, { ...shape, channels: plan.outputChannels }, 'r+');
    try {
      checkSegments(from.layout, to.layout);
      return mapBlocks({ from, to, shape }, plan, tables, rectangle);
    } finally {
      await to.handle.close();
    }
  } finally {
    await from.handle.close();
  }
}

interface Files {
  from: PixelFile;
  to: PixelFile;
  shape: SpoolShape;
}

function mapBlocks(
  { from, to, shape }: Files,
  plan: EqualizationPlan,
  tables: LookupTables,
  rectangle: Rectangle,
): number {
  let bytes = 0;
  for (const { raster, span } of blocksOf(from, shape, [from.layout, to.layout], rectangle)) {
    // In place if it fits: allocating a buffer for each block would cost more than the mapping. The
    // padding of tiles stays zero; otherwise the bytes of the file would depend on the rectangles.
    const fits = plan.outputChannels === plan.channels && raster.height === 1;
    const target = fits ? raster : targetFor(plan, raster);
    const { samples } = applyTables(plan, tables, raster, target);
    const mapped = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    writeBytes(to.handle.fd, placeOf(to.layout, span), mapped);
    bytes += mapped.length;
  }
  return bytes;
}

/** A raster for the result, with zeros where the source has padding. */
function targetFor(
  plan: EqualizationPlan,
  { width, height, stride = width * plan.channels }: Raster,
): Raster {
  const pixels = ((height - 1) * stride) / plan.channels + width;
  const { samples } = emptyRaster(plan, pixels, 1);
  return { samples, width, height, stride: (stride / plan.channels) * plan.outputChannels };
}

function* blocksOf(
  { handle, layout }: PixelFile,
  shape: SpoolShape,
  layouts: readonly [Layout, ...Layout[]],
  rectangle: Rectangle,
) {
  const size = pixelBytes(shape);
  for (const span of spansOf(shape, layouts, rectangle, blockPixels(shape))) {
    const pixels = spanPixels(span);
    readBytes(handle.fd, placeOf(layout, span), new Uint8Array(block, 0, pixels * size));
    const length = pixels * shape.channels;
    const samples: Samples =
      shape.depth === 8 ? new Uint8Array(block, 0, length) : new Uint16Array(block, 0, length);
    const { width, rows: height, stride } = span;
    const raster: Raster = {
      samples,
      width,
      height,
      ...(height > 1 ? { stride: stride * shape.channels } : {}),
    };
    yield { raster, span };
  }
}

function blockPixels(shape: SpoolShape): number {
  return Math.floor(blockBytes / pixelBytes(shape));
}

/** A plan for other pixels would silently give wrong counts. */
function checkPlan(plan: EqualizationPlan, shape: SpoolShape): void {
  if (plan.channels === shape.channels && plan.depth === shape.depth) return;
  throw imageError(
    'image.spool_damaged',
    `the plan is for ${plan.channels} channels of ${plan.depth} bit, the spool has ${shape.channels} of ${shape.depth}`,
  );
}

/** Pixels keep their places only if both files are cut into equal segments. */
function checkSegments(from: Layout, to: Layout): void {
  if (from.tiled === to.tiled && from.width === to.width && from.height === to.height) return;
  throw imageError('image.spool_damaged', 'the result has other segments than its source');
}
