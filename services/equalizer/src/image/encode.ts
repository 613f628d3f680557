/** From a spool to an image file, in bounded memory wherever the format allows it. */
import { constants } from 'node:fs';
import { copyFile, link, open, rename, rm, stat } from 'node:fs/promises';
import type { Sharp, TiffOptions } from 'sharp';
import { colourSpaceOf } from './decode.ts';
import { putExif } from './exif.ts';
import { imageFault } from './faults.ts';
import { identify, type ImageFacts, type ImageFormat, type TiffFacts } from './identify.ts';
import { nameFault, sharp } from './library.ts';
import { dataBytes, type SpoolShape } from './layout.ts';
import { readSpool } from './spool.ts';
import { isSpool, type SpoolMetadata } from './spool-file.ts';

/** How the result is written. Plain data. */
export interface OutputOptions {
  format: ImageFormat;
  /** Of JPEG, 1 to 100. */
  quality?: number;
  /** Of a TIFF: as the input was, if it was one. */
  tiff?: TiffFacts;
}

export const jpegQualityDefault = 92;

/** The output that fits an input: its own format, laid out alike. */
export function outputLike(facts: ImageFacts, format: ImageFormat = facts.format): OutputOptions {
  return { format, ...(facts.tiff !== undefined && format === 'tiff' ? { tiff: facts.tiff } : {}) };
}

/** Sides that a format can say; TIFF's and PNG's are those of libtiff and libpng. */
const sideMax: Record<ImageFormat, number> = {
  jpeg: 65_535,
  webp: 16_383,
  png: 1_000_000,
  tiff: 2 ** 31 - 1,
};

/**
 * Whether a format can hold these pixels; called before any work is done for them.
 * @throws MeshError `image.unencodable`
 */
export function checkEncodable(shape: SpoolShape, format: ImageFormat, wholeImagePixelsMax: number): void {
  const { width, height, channels, depth } = shape;
  const reasons = [
    depth === 16 && (format === 'jpeg' || format === 'webp') ? `${format} has no 16 bit` : undefined,
    channels % 2 === 0 && format === 'jpeg' ? 'JPEG has no alpha' : undefined,
    Math.max(width, height) > sideMax[format]
      ? `${format} ends at ${sideMax[format]} pixels a side`
      : undefined,
    format === 'webp' && width * height > wholeImagePixelsMax
      ? `WebP is written from memory: at most ${wholeImagePixelsMax} pixels`
      : undefined,
  ].filter((reason) => reason !== undefined);
  if (reasons.length > 0) throw imageFault('image.unencodable', `${reasons.join(', ')}: take PNG or TIFF`);
}

/**
 * Writes a spool as an image file, which appears whole under its name, or not at all. A result that is its image already (`createResult`)
 * gets a second name.
 * @returns bytes of the file
 * @throws MeshError `image.unencodable`, `image.spool_damaged`, `image.io`
 */
export async function encode(
  spool: string,
  file: string,
  output: OutputOptions,
  wholeImagePixelsMax = Number.MAX_SAFE_INTEGER,
): Promise<number> {
  const aside = `${file}.${crypto.randomUUID()}.part`;
  try {
    if (await isImage(spool)) await nameAgain(spool, aside);
    else await encodeAside(spool, aside, output, wholeImagePixelsMax);
    const { size } = await stat(aside);
    await rename(aside, file);
    return size;
  } catch (error) {
    throw nameFault(error);
  } finally {
    await rm(aside, { force: true });
  }
}

/** @throws MeshError `image.spool_damaged`: neither a spool nor an image whose pixels lie bare */
async function isImage(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  if (await isSpool(handle).finally(async () => handle.close())) return false;
  const facts = await identify(file).catch((error: unknown) => {
    throw imageFault('image.spool_damaged', 'no spool by its mark', error);
  });
  if (facts.tiff?.bare === true) return true;
  throw imageFault('image.spool_damaged', 'no spool by its mark, and no image of bare pixels');
}

/** A copy where the file system has no second names: one that shares the blocks, if it can. */
async function nameAgain(file: string, other: string): Promise<void> {
  await link(file, other).catch(async () => copyFile(file, other, constants.COPYFILE_FICLONE));
}

async function encodeAside(
  spool: string,
  aside: string,
  output: OutputOptions,
  wholeImagePixelsMax: number,
): Promise<void> {
  const { shape, metadata } = await readSpool(spool);
  checkEncodable(shape, output.format, wholeImagePixelsMax);
  const image = sharp(spool, {
    sequentialRead: true,
    ignoreIcc: true,
    limitInputPixels: false,
    failOn: 'error',
  })
    .toColourspace(colourSpaceOf(shape))
    .keepMetadata();
  await formatted(image, output, shape, metadata).toFile(aside);
  if (metadata.exif !== undefined) await putExif(aside, output.format, metadata.exif);
}

function formatted(image: Sharp, output: OutputOptions, shape: SpoolShape, metadata: SpoolMetadata): Sharp {
  switch (output.format) {
    case 'jpeg':
      return image.jpeg({
        quality: output.quality ?? jpegQualityDefault,
        chromaSubsampling: '4:4:4',
        // Optimised tables need the coefficients of the whole image in memory.
        optimiseCoding: false,
        progressive: false,
      });
    case 'png':
      return image.png({ palette: false, progressive: false, adaptiveFiltering: false });
    case 'webp':
      // `exact` keeps the colours of transparent pixels.
      return image.webp({ lossless: true, exact: true, effort: 2 });
    case 'tiff':
      return image.tiff(tiffOptions(output.tiff, shape, metadata));
  }
}

/** Above it a TIFF is a BigTIFF: classic offsets end at 4 GiB. */
export const classicTiffBytesMax = 3.9e9;

function tiffOptions(like: TiffFacts | undefined, shape: SpoolShape, metadata: SpoolMetadata): TiffOptions {
  const compression = like?.compression === 1 ? 'none' : like?.compression === 5 ? 'lzw' : 'deflate';
  const perMillimetre = metadata.density === undefined ? undefined : metadata.density / 25.4;
  return {
    compression,
    ...(compression === 'none' ? {} : { predictor: 'horizontal' }),
    bigtiff: like?.big === true || dataBytes(shape) > classicTiffBytesMax,
    ...(like?.tile === undefined
      ? {}
      : { tile: true, tileWidth: like.tile.width, tileHeight: like.tile.height }),
    ...(perMillimetre === undefined
      ? {}
      : { xres: perMillimetre, yres: perMillimetre, resolutionUnit: 'inch' }),
  };
}
