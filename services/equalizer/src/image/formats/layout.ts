/**
 * The layout of the pixels in an uncompressed TIFF: segments (strips or tiles) of bare rows. Spools
 * are such files, and so are many uploads, which can then be read in place.
 */
import type { FileHandle } from 'node:fs/promises';
import { imageError } from '../errors.ts';
import {
  compressions,
  extraSampleKinds,
  fillOrders,
  photometrics,
  planarities,
  readKind,
} from './tiff-support.ts';
import { tag, type TiffDirectory } from './tiff.ts';

/** The size and the kind of pixels. Plain data. 16-bit samples are little-endian. */
export interface SpoolShape {
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
  depth: 8 | 16;
}

/** How an image is cut into segments. For strips, `tiled` is false and `width` is the image's. */
export interface Segmentation {
  tiled: boolean;
  /**
   * Pixels from one row of a segment to the next. The last columns of a tile may lie outside the
   * image.
   */
  width: number;
  height: number;
}

/** The places of all segments in a file. */
export interface Layout extends Segmentation {
  pixelBytes: number;
  /** Start of each segment in bytes, row of segments after row. */
  offsets: Float64Array;
}

/** A part of an image, in pixels. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * Pixels of a rectangle that are read and written at once: `rows` rows of `width` pixels, each
 * `stride` pixels after the previous one. Between them lies only the padding of tiles.
 */
export interface Span {
  segment: number;
  /**
   * The first pixel, counted from the start of the segment. A span may continue into the segments
   * that follow in the file.
   */
  from: number;
  width: number;
  rows: number;
  stride: number;
}

/** Bytes of one pixel. */
export function pixelBytes(shape: SpoolShape): number {
  return (shape.channels * shape.depth) / 8;
}

/** Bytes of all pixels. */
export function dataBytes(shape: SpoolShape): number {
  return shape.width * shape.height * pixelBytes(shape);
}

/** Pixels from the first of a span to its last, padding included. */
export function spanPixels({ width, rows, stride }: Span): number {
  return (rows - 1) * stride + width;
}

/** Position in the file of a pixel of a segment, in bytes. */
export function placeOf(
  { offsets, pixelBytes }: Layout,
  { segment, from }: Pick<Span, 'segment' | 'from'>,
): number {
  return offsets[segment]! + from * pixelBytes;
}

/** Number of segments of an image, across and down. */
export function segmentsOf(shape: SpoolShape, { width, height }: Segmentation) {
  return { across: Math.ceil(shape.width / width), down: Math.ceil(shape.height / height) };
}

/**
 * Pixels that a segment occupies in the file. The last strip has only the remaining rows; a tile is
 * always complete.
 */
export function segmentPixels(shape: SpoolShape, cut: Segmentation, segment: number): number {
  const first = Math.floor(segment / segmentsOf(shape, cut).across) * cut.height;
  return cut.width * (cut.tiled ? cut.height : Math.min(cut.height, shape.height - first));
}

/**
 * With more segments, the lists of their places are too large to be read again for each chunk.
 */
const segmentsMax = 2 ** 17;

/**
 * Reads the layout of the pixels that a directory describes.
 * @returns undefined if the pixels are compressed, have another shape, or are incomplete: then the
 *   image must be decoded
 */
export async function readLayout(
  file: FileHandle,
  directory: TiffDirectory,
  shape: SpoolShape,
): Promise<Layout | undefined> {
  if (!(await isBare(directory, shape))) return undefined;
  const cut = await segmentationOf(directory, shape);
  const { across, down } = segmentsOf(shape, cut);
  const count = across * down;
  if (!Number.isSafeInteger(count) || count > segmentsMax) return undefined;
  const offsets = await directory.numbers(cut.tiled ? tag.tileOffsets : tag.stripOffsets, count);
  const sizes = await directory.numbers(cut.tiled ? tag.tileByteCounts : tag.stripByteCounts, count);
  if (offsets?.length !== count || sizes?.length !== count) return undefined;
  const { size: fileBytes } = await file.stat();
  for (let segment = 0; segment < count; segment++) {
    const bytes = segmentPixels(shape, cut, segment) * pixelBytes(shape);
    if (sizes[segment]! < bytes || offsets[segment]! + bytes > fileBytes) return undefined;
  }
  return { ...cut, pixelBytes: pixelBytes(shape), offsets };
}

/** Whether the samples in the file are exactly those of `shape`, byte for byte. */
async function isBare(directory: TiffDirectory, shape: SpoolShape): Promise<boolean> {
  const { channels, depth } = shape;
  const kind = await readKind(directory);
  return (
    (directory.little || depth === 8) &&
    (await directory.number(tag.width)) === shape.width &&
    (await directory.number(tag.height)) === shape.height &&
    kind.samples === channels &&
    kind.bits === depth &&
    kind.compression === compressions.none &&
    kind.fillOrder === fillOrders.highFirst &&
    kind.photometric === (channels >= 3 ? photometrics.rgb : photometrics.blackIsZero) &&
    (channels === 1 || kind.planar === planarities.interleaved) &&
    kind.extra === (channels % 2 === 0 ? extraSampleKinds.unassociatedAlpha : undefined)
  );
}

async function segmentationOf(directory: TiffDirectory, shape: SpoolShape): Promise<Segmentation> {
  const [width, height] = [await directory.number(tag.tileWidth), await directory.number(tag.tileHeight)];
  if (width !== undefined && height !== undefined && width > 0 && height > 0) {
    return { tiled: true, width, height };
  }
  const rows = (await directory.number(tag.rowsPerStrip)) ?? shape.height;
  return { tiled: false, width: shape.width, height: Math.max(1, Math.min(rows, shape.height)) };
}

/**
 * Checks a rectangle.
 * @throws MeshError `image.outside` if it is empty, not of whole numbers, or not inside the image
 */
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
  throw imageError(
    'image.outside',
    `${width} × ${height} at ${left}, ${top} is not inside ${shape.width} × ${shape.height}`,
  );
}

/**
 * Cuts a rectangle into spans of at most `pixelsMax`, padding included.
 * @param files the layouts of all files that the spans are used for, all cut equally. Spans merge
 *   where segments are adjacent in each of the files
 */
export function* spansOf(
  shape: SpoolShape,
  files: readonly [Layout, ...Layout[]],
  rectangle: Rectangle,
  pixelsMax: number,
): Generator<Span> {
  const [cut] = files;
  let open: Span | undefined;
  for (const span of partsOf(shape, cut, rectangle)) {
    if (open !== undefined && follows(files, open, span)) {
      open.width += span.width;
    } else {
      if (open !== undefined) yield* pieces(open, pixelsMax);
      open = span;
    }
  }
  if (open !== undefined) yield* pieces(open, pixelsMax);
}

/** The parts of a rectangle in each segment: whole rows as one span, others row by row. */
function* partsOf(shape: SpoolShape, cut: Segmentation, rectangle: Rectangle): Generator<Span> {
  const { left, top, width, height } = rectangle;
  const { across } = segmentsOf(shape, cut);
  for (let down = Math.floor(top / cut.height); down * cut.height < top + height; down++) {
    const first = Math.max(0, top - down * cut.height);
    const rows = Math.min(cut.height, top + height - down * cut.height) - first;
    for (let right = Math.floor(left / cut.width); right * cut.width < left + width; right++) {
      const column = Math.max(0, left - right * cut.width);
      const end = Math.min(cut.width, left + width - right * cut.width);
      const segment = down * across + right;
      const from = first * cut.width + column;
      const columns = end - column;
      const common = { segment, stride: cut.width };
      // Beside the last columns of the image there is only padding, which no other chunk writes.
      const ownsRows = column === 0 && right * cut.width + end === shape.width;
      if (columns === cut.width) yield { ...common, from, width: rows * cut.width, rows: 1 };
      else if (ownsRows) yield { ...common, from, width: columns, rows };
      else
        for (let row = 0; row < rows; row++)
          yield { ...common, from: from + row * cut.width, width: columns, rows: 1 };
    }
  }
}

/** Whether a span starts where the previous one ends, in each of the files. */
function follows(files: readonly Layout[], before: Span, next: Span): boolean {
  if (before.rows > 1 || next.rows > 1) return false;
  const { segment, from, width } = before;
  return files.every((file) => placeOf(file, { segment, from: from + width }) === placeOf(file, next));
}

/** Cuts a span into groups of rows or, if a row is too long, into parts of rows. */
function* pieces(span: Span, pixelsMax: number): Generator<Span> {
  const { from, width, rows, stride } = span;
  if (rows === 1 || stride > pixelsMax) {
    for (let row = 0; row < rows; row++)
      for (let done = 0; done < width; done += pixelsMax)
        yield {
          ...span,
          from: from + row * stride + done,
          width: Math.min(pixelsMax, width - done),
          rows: 1,
        };
    return;
  }
  const rowsAtOnce = Math.floor(pixelsMax / stride);
  for (let row = 0; row < rows; row += rowsAtOnce)
    yield { ...span, from: from + row * stride, rows: Math.min(rowsAtOnce, rows - row) };
}
