/**
 * Identifies an image file by its first bytes and its header. Nothing is decoded, so a
 * decompression bomb does no harm here.
 */
import { open, type FileHandle } from 'node:fs/promises';
import type { Metadata } from 'sharp';
import { imageError } from './errors.ts';
import { checkEnd, imageFileErrorOf } from './truncation.ts';
import { sharp } from './library.ts';
import { formatOf, type ImageFormat } from './formats/formats.ts';
import { checkJpegFrame } from './formats/jpeg.ts';
import { checkPngHeader } from './formats/png.ts';
import { readLayout } from './formats/layout.ts';
import { imageLimitsDefault, segmentBytesMax, type ImageLimits } from './limits.ts';
import { checkFirstPage, checkSegmentsInside, readKind } from './formats/tiff-support.ts';
import { readDirectory, tag } from './formats/tiff.ts';

/** How a file can be read: in bounded memory (rows, strips, tiles), or only as a whole. */
export type Access = 'rows' | 'strips' | 'tiles' | 'whole';

/** Facts of one page of an image file. Plain data. */
export interface ImageFacts {
  format: ImageFormat;
  fileBytes: number;
  width: number;
  height: number;
  /** Channels after decoding; a palette becomes 3 or 4. */
  channels: 1 | 2 | 3 | 4;
  depth: 8 | 16;
  access: Access;
  /** Pages of a TIFF; 1 for other formats. */
  pages: number;
  page: number;
  /** EXIF orientation, 1 to 8; 1 if the file has none. Pixels are never turned. */
  orientation: number;
  palette: boolean;
  /** Progressive JPEG or interlaced PNG. */
  interlaced: boolean;
  /** The metadata that the file contains. */
  metadata: { exif: boolean; icc: boolean; xmp: boolean; iptc: boolean };
  /** Layout of a TIFF, so that the result can be written alike. */
  tiff?: TiffFacts;
}

export interface TiffFacts {
  big: boolean;
  /** Number of the compression in TIFF: 1 none, 5 LZW, 8 and 32946 deflate, 7 JPEG, … */
  compression: number;
  /**
   * True if the requested page is the first one and its pixels can be read in place
   * (`formats/layout.ts`).
   */
  bare: boolean;
  /** Size of a tile; absent for strips. */
  tile?: { width: number; height: number };
}

export interface IdentifyOptions {
  limits?: ImageLimits;
  /** Page of a multipage TIFF, from 0. Default: 0. */
  page?: number;
}

/** The facts of an image, and the header as sharp has read it. */
export interface Identified {
  facts: ImageFacts;
  header: Metadata;
}

/**
 * Identifies a file, and refuses what this service does not accept.
 * @param file a path that the service chose itself, because libvips reads options from brackets at
 *   the end of a name
 * @throws MeshError `image.not_an_image`, `image.truncated`, `image.damaged`, `image.bytes_limit`,
 *   `image.pixels_limit`, `image.metadata_limit`, `image.unsupported_depth`,
 *   `image.unsupported_colour`, `image.unsupported_layout`, `image.no_such_page`; `image.io`
 *   (retriable)
 */
export async function identify(file: string, options: IdentifyOptions = {}): Promise<ImageFacts> {
  return (await identifyFile(file, options)).facts;
}

/** As {@link identify}, with the header. */
export async function identifyFile(file: string, options: IdentifyOptions = {}): Promise<Identified> {
  const limits = options.limits ?? imageLimitsDefault;
  const page = options.page ?? 0;
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      if (size > limits.fileBytesMax) {
        throw imageError('image.bytes_limit', `${size} bytes, at most ${limits.fileBytesMax} are accepted`);
      }
      return await identifyHandle(file, handle, size, page, limits);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw await imageFileErrorOf(error, file);
  }
}

async function identifyHandle(
  file: string,
  handle: FileHandle,
  fileBytes: number,
  page: number,
  limits: ImageLimits,
): Promise<Identified> {
  const format = formatOf(await firstBytes(handle));
  if (format === undefined)
    throw imageError('image.not_an_image', 'neither JPEG, PNG, WebP nor TIFF by its first bytes');
  if (page > 0 && format !== 'tiff') throw imageError('image.no_such_page', `a ${format} has one page`);
  if (page >= limits.pagesMax)
    throw imageError('image.no_such_page', `page ${page} of at most ${limits.pagesMax}`);
  const directory = format === 'tiff' ? await readDirectory(handle, page) : undefined;
  if (format === 'jpeg') await checkJpegFrame(handle);
  if (format === 'png') await checkPngHeader(handle, fileBytes);
  if (directory !== undefined) {
    if (page === 0) await checkFirstPage(handle, directory);
    await checkSegmentsInside(directory, await readKind(directory), fileBytes);
  }
  const header = await sharp(file, { page, pages: 1, limitInputPixels: false, failOn: 'none' }).metadata();
  if (header.format !== format)
    throw imageError('image.damaged', `a ${format} file with the content of ${header.format}`);
  const facts: ImageFacts = {
    format,
    fileBytes,
    width: header.width,
    height: header.pageHeight ?? header.height,
    ...pixelKind(header),
    access: format === 'webp' || header.isProgressive ? 'whole' : 'rows',
    pages: format === 'tiff' ? (header.pages ?? 1) : 1,
    page,
    orientation: header.orientation ?? 1,
    palette: header.isPalette,
    interlaced: header.isProgressive,
    metadata: {
      exif: header.exif !== undefined,
      icc: header.icc !== undefined,
      xmp: header.xmp !== undefined,
      iptc: header.iptc !== undefined,
    },
  };
  if (directory !== undefined) {
    const number = async (id: number, absent: number) => (await directory.number(id)) ?? absent;
    const bytesPerPixel = (facts.channels * facts.depth) / 8;
    const compression = await number(tag.compression, 1);
    const width = await number(tag.tileWidth, 0);
    const height = await number(tag.tileHeight, 0);
    const tiled = width > 0 && height > 0;
    // A row of tiles, or one strip, is decoded together.
    const segment = tiled
      ? Math.ceil(facts.width / width) * width * height
      : facts.width * Math.min(facts.height, await number(tag.rowsPerStrip, facts.height));
    facts.access = tiled ? 'tiles' : 'strips';
    // Bare strips are read row by row, however high they are.
    if (segment * bytesPerPixel > segmentBytesMax && (tiled || compression !== 1)) facts.access = 'whole';
    const layout = page === 0 ? await readLayout(handle, directory, facts) : undefined;
    const bare = layout !== undefined;
    facts.tiff = { big: directory.big, compression, bare, ...(tiled ? { tile: { width, height } } : {}) };
  }
  checkLimits(facts, header, limits);
  await checkEnd(handle, fileBytes, format);
  return { facts, header };
}

async function firstBytes(handle: FileHandle): Promise<Buffer> {
  const buffer = Buffer.alloc(16);
  const { bytesRead } = await handle.read(buffer, 0, 16, 0);
  return buffer.subarray(0, bytesRead);
}

/** Channels and depth: grey or RGB, with or without alpha, at 8 or 16 bit. */
function pixelKind(header: Metadata): Pick<ImageFacts, 'channels' | 'depth'> {
  const depth = { uchar: 8, ushort: 16 }[String(header.depth)];
  if (depth !== 8 && depth !== 16) {
    throw imageError(
      'image.unsupported_depth',
      `samples are ${header.depth}: only 8 and 16 bit are supported`,
    );
  }
  const colours = { 'b-w': 1, grey16: 1, srgb: 3, rgb16: 3, rgb: 3 }[String(header.space)];
  const channels = header.channels;
  if (colours === undefined || channels !== colours + (header.hasAlpha ? 1 : 0) || channels > 4) {
    throw imageError(
      'image.unsupported_colour',
      `${channels} channels in colour space ${header.space}: only grey and RGB, with or without alpha, are supported`,
    );
  }
  return { depth, channels: channels };
}

function checkLimits(facts: ImageFacts, header: Metadata, limits: ImageLimits): void {
  const pixels = facts.width * facts.height;
  const max =
    facts.access === 'whole' ? Math.min(limits.wholeImagePixelsMax, limits.pixelsMax) : limits.pixelsMax;
  if (pixels > max) {
    const why = facts.access === 'whole' ? `; this ${facts.format} needs the whole image in memory` : '';
    throw imageError('image.pixels_limit', `${pixels} pixels, at most ${max} are accepted${why}`);
  }
  const blocks = [header.exif, header.icc, header.xmp, header.iptc, header.tifftagPhotoshop];
  const bytes = blocks.reduce((sum, block) => sum + (block?.length ?? 0), 0);
  if (bytes > limits.metadataBytesMax) {
    throw imageError(
      'image.metadata_limit',
      `${bytes} bytes of metadata, at most ${limits.metadataBytesMax} are accepted`,
    );
  }
}
