/** Encodes a spool as an image file, in bounded memory if the format allows it. */
import { constants } from 'node:fs';
import { copyFile, link, open, rename, rm, stat } from 'node:fs/promises';
import type { Sharp, TiffOptions } from 'sharp';
import { colourSpaceOf } from './decode.ts';
import { putExif } from './formats/exif.ts';
import { imageError } from './errors.ts';
import { formatTraits, type ImageFormat } from './formats/formats.ts';
import { identify, type ImageFacts, type TiffFacts } from './identify.ts';
import { imageErrorOf, sharp } from './library.ts';
import { dataBytes, type SpoolShape } from './formats/layout.ts';
import { readSpool } from './spool/spool.ts';
import { isSpool } from './spool/spool-file.ts';
import type { ImageMetadata } from './metadata.ts';

/** Options of the result file. Plain data. */
export interface OutputOptions {
  format: ImageFormat;
  /** Quality of a JPEG, 1 to 100. */
  quality?: number;
  /** Layout of a TIFF: that of the input, if it was a TIFF. */
  tiff?: TiffFacts;
}

export const jpegQualityDefault = 92;

/** The options for a result like the input: the same format and layout. */
export function outputLike(facts: ImageFacts, format: ImageFormat = facts.format): OutputOptions {
  return { format, ...(facts.tiff !== undefined && format === 'tiff' ? { tiff: facts.tiff } : {}) };
}

/**
 * Checks that a format can hold these pixels. Call it before any work on them.
 * @throws MeshError `image.unencodable`
 */
export function checkEncodable(shape: SpoolShape, format: ImageFormat, wholeImagePixelsMax: number): void {
  const { width, height, channels, depth } = shape;
  const { sideMax, holds16Bit, holdsAlpha } = formatTraits[format];
  const reasons = [
    depth === 16 && !holds16Bit ? `${format} has no 16 bit` : undefined,
    channels % 2 === 0 && !holdsAlpha ? `${format.toUpperCase()} has no alpha` : undefined,
    Math.max(width, height) > sideMax ? `${format} supports at most ${sideMax} pixels per side` : undefined,
    format === 'webp' && width * height > wholeImagePixelsMax
      ? `WebP is written from memory: at most ${wholeImagePixelsMax} pixels`
      : undefined,
  ].filter((reason) => reason !== undefined);
  if (reasons.length > 0) throw imageError('image.unencodable', `${reasons.join(', ')}: choose PNG or TIFF`);
}

/**
 * Writes a spool as an image file, which appears whole under its name or not at all. A result file
 * that is already the image (`createResult`) only gets a second name.
 * @returns size of the file in bytes
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
    throw imageErrorOf(error);
  } finally {
    await rm(aside, { force: true });
  }
}

/** Whether a file is a bare image instead of a spool. @throws MeshError `image.spool_damaged` */
async function isImage(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  if (await isSpool(handle).finally(async () => handle.close())) return false;
  const facts = await identify(file).catch((error: unknown) => {
    throw imageError('image.spool_damaged', 'the file has no mark of a spool', { cause: error });
  });
  if (facts.tiff?.bare === true) return true;
  throw imageError('image.spool_damaged', 'neither a spool nor a bare image');
}

/** Gives a file a second name; where links are impossible, a copy that shares its blocks. */
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

function formatted(image: Sharp, output: OutputOptions, shape: SpoolShape, metadata: ImageMetadata): Sharp {
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

/** Pixel data above this size need a BigTIFF, because classic offsets end at 4 GiB. */
export const classicTiffBytesMax = 3.9e9;

function tiffOptions(like: TiffFacts | undefined, shape: SpoolShape, metadata: ImageMetadata): TiffOptions {
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
