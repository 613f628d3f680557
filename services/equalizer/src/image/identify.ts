/** What a file is, from its first bytes and its header alone: nothing is decoded, so a decompression bomb costs nothing here. */
import { open, type FileHandle } from 'node:fs/promises';
import type { Metadata } from 'sharp';
import { imageFault } from './faults.ts';
import { nameFileFault } from './ending.ts';
import { sharp } from './library.ts';
import { readLayout } from './layout.ts';
import { imageLimitsDefault, segmentBytesMax, type ImageLimits } from './limits.ts';
import { readDirectory, tag } from './tiff.ts';

export const imageFormats = ['jpeg', 'png', 'webp', 'tiff'] as const;
export type ImageFormat = (typeof imageFormats)[number];

/** How a file must be read: in bands of bounded memory (rows, strips, tiles) or all at once. */
export type Access = 'rows' | 'strips' | 'tiles' | 'whole';

/** Facts of one page of an image file. Plain data. */
export interface ImageFacts {
  format: ImageFormat;
  fileBytes: number;
  width: number;
  height: number;
  /** As decoded: a palette becomes 3 or 4. */
  channels: 1 | 2 | 3 | 4;
  depth: 8 | 16;
  access: Access;
  /** Pages of a TIFF; 1 for the rest. */
  pages: number;
  page: number;
  /** EXIF orientation, 1 to 8; 1 if the file has none. Pixels are never turned. */
  orientation: number;
  palette: boolean;
  /** Progressive JPEG or interlaced PNG. */
  interlaced: boolean;
  /** Which metadata the file carries. */
  metadata: { exif: boolean; icc: boolean; xmp: boolean; iptc: boolean };
  /** Of a TIFF, to write the result alike. */
  tiff?: TiffFacts;
}

export interface TiffFacts {
  big: boolean;
  /** TIFF's number: 1 none, 5 LZW, 8 and 32946 deflate, 7 JPEG, … */
  compression: number;
  /** The page that was looked at is the first, and its pixels can be worked on where they lie (`layout.ts`). */
  bare: boolean;
  /** Absent for strips. */
  tile?: { width: number; height: number };
}

export interface IdentifyOptions {
  limits?: ImageLimits;
  /** Of a multipage TIFF, from 0; the first if absent. */
  page?: number;
}

/** Facts, and what sharp read of the header, for the decoder. */
export interface Identified {
  facts: ImageFacts;
  header: Metadata;
}

/**
 * Looks at a file and refuses what this service does not take.
 * @param file a path that the service made up itself: libvips reads options from brackets at the end of a name
 * @throws MeshError `image.not_an_image`, `image.truncated`, `image.damaged`, `image.bytes_limit`, `image.pixels_limit`,
 *   `image.metadata_limit`, `image.unsupported_depth`, `image.unsupported_colour`, `image.no_such_page`; `image.io` (retriable)
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
        throw imageFault('image.bytes_limit', `${size} bytes, at most ${limits.fileBytesMax} are taken`);
      }
      return await identifyHandle(file, handle, size, page, limits);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw await nameFileFault(error, file);
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
  if (page > 0 && format !== 'tiff') throw imageFault('image.no_such_page', `a ${format} has one page`);
  if (page >= limits.pagesMax)
    throw imageFault('image.no_such_page', `page ${page} of at most ${limits.pagesMax}`);
  const directory = format === 'tiff' ? await readDirectory(handle, page) : undefined;
  const header = await sharp(file, { page, pages: 1, limitInputPixels: false, failOn: 'none' }).metadata();
  if (header.format !== format)
    throw imageFault('image.damaged', `a ${format} that reads as ${header.format}`);
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
    // A row of tiles is decoded together; of strips, one.
    const segment = tiled
      ? Math.ceil(facts.width / width) * width * height
      : facts.width * Math.min(facts.height, await number(tag.rowsPerStrip, facts.height));
    facts.access = tiled ? 'tiles' : 'strips';
    // Bare strips are read row by row however high they are.
    if (segment * bytesPerPixel > segmentBytesMax && (tiled || compression !== 1)) facts.access = 'whole';
    const layout = page === 0 ? await readLayout(handle, directory, facts) : undefined;
    const bare = layout !== undefined;
    facts.tiff = { big: directory.big, compression, bare, ...(tiled ? { tile: { width, height } } : {}) };
  }
  checkLimits(facts, header, limits);
  return { facts, header };
}

async function firstBytes(handle: FileHandle): Promise<Buffer> {
  const buffer = Buffer.alloc(16);
  const { bytesRead } = await handle.read(buffer, 0, 16, 0);
  return buffer.subarray(0, bytesRead);
}

const signatures: readonly [ImageFormat, (head: string) => boolean][] = [
  ['jpeg', (head) => head.startsWith('\xff\xd8\xff')],
  ['png', (head) => head.startsWith('\x89PNG\r\n\x1a\n')],
  ['webp', (head) => head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP'],
  ['tiff', (head) => /^(?:II[*+]\0|MM\0[*+])/.test(head)],
];

function formatOf(head: Buffer): ImageFormat {
  const text = head.toString('latin1');
  const found = signatures.find(([, fits]) => fits(text));
  if (found !== undefined) return found[0];
  throw imageFault('image.not_an_image', 'neither JPEG, PNG, WebP nor TIFF by its first bytes');
}

/** Grey or RGB, with or without alpha, at 8 or 16 bit. */
function pixelKind(header: Metadata): Pick<ImageFacts, 'channels' | 'depth'> {
  const depth = { uchar: 8, ushort: 16 }[String(header.depth)];
  if (depth !== 8 && depth !== 16) {
    throw imageFault('image.unsupported_depth', `samples are ${header.depth}: only 8 and 16 bit are taken`);
  }
  const colours = { 'b-w': 1, grey16: 1, srgb: 3, rgb16: 3, rgb: 3 }[String(header.space)];
  const channels = header.channels;
  if (colours === undefined || channels !== colours + (header.hasAlpha ? 1 : 0) || channels > 4) {
    throw imageFault(
      'image.unsupported_colour',
      `${channels} channels in colour space ${header.space}: only grey and RGB, with or without alpha, are taken`,
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
    throw imageFault('image.pixels_limit', `${pixels} pixels, at most ${max} are taken${why}`);
  }
  const blocks = [header.exif, header.icc, header.xmp, header.iptc, header.tifftagPhotoshop];
  const bytes = blocks.reduce((sum, block) => sum + (block?.length ?? 0), 0);
  if (bytes > limits.metadataBytesMax) {
    throw imageFault(
      'image.metadata_limit',
      `${bytes} bytes of metadata, at most ${limits.metadataBytesMax} are taken`,
    );
  }
}
