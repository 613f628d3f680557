/**
 * Decides from the directory of a TIFF whether its pixels can be read. It is a list of what is
 * allowed: libtiff and libvips read further files, but some of them wrongly (the planes of YCbCr as
 * red, green and blue) or only to fail in the middle. `tiff-support.int.ts` proves the list.
 */
import type { FileHandle } from 'node:fs/promises';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';
import { readSubDirectory, tag, type TiffDirectory } from './tiff.ts';

/** The values of fields that have a meaning here (TIFF 6.0, and libtiff's `tiff.h`). */
export const compressions = { none: 1, jpeg: 7 } as const;
export const photometrics = { whiteIsZero: 0, blackIsZero: 1, rgb: 2, palette: 3, ycbcr: 6 } as const;
/** Bits in a byte: 1 from the highest bit on, 2 from the lowest. */
export const fillOrders = { highFirst: 1, lowFirst: 2 } as const;
export const planarities = { interleaved: 1, planes: 2 } as const;
export const sampleFormats = { unsigned: 1 } as const;
export const extraSampleKinds = { unspecified: 0, associatedAlpha: 1, unassociatedAlpha: 2 } as const;

/** None, LZW, deflate (two numbers) and PackBits. */
const lossless = [compressions.none, 5, 8, 32_946, 32_773];
const bilevel = [2, 3, 4];
const webp = 50_001;
const jpegColours: readonly number[] = [photometrics.blackIsZero, photometrics.rgb, photometrics.ycbcr];
/** Numbers of planes that are read right, by photometric interpretation. */
const planesRead: Readonly<Record<number, readonly number[]>> = {
  [photometrics.blackIsZero]: [1],
  [photometrics.rgb]: [3, 4],
};
const valuesMax = 64;

/** The fields that decide how pixels are read. */
export interface TiffKind {
  bits: number;
  samples: number;
  compression: number;
  photometric: number;
  fillOrder: number;
  planar: number;
  tiled: boolean;
  /** The kind of the sample beside the colours, if there is one. */
  extra?: number;
}

/**
 * Reads the fields that decide how pixels are read.
 * @throws MeshError `image.unsupported_depth`, `image.unsupported_colour`,
 *   `image.unsupported_layout`, `image.damaged`, `image.truncated` if these pixels are not
 *   supported
 */
export async function readKind(directory: TiffDirectory): Promise<TiffKind> {
  const number = async (id: number, absent: number) => (await valuesOf(directory, id))[0] ?? absent;
  const bits = await valuesOf(directory, tag.bitsPerSample);
  const formats = await valuesOf(directory, tag.sampleFormat);
  const extras = await valuesOf(directory, tag.extraSamples);
  const tileFields = [tag.tileWidth, tag.tileHeight].filter((id) => directory.fields.has(id));
  const kind: TiffKind = {
    bits: bits[0] ?? 1,
    samples: await number(tag.samplesPerPixel, 1),
    compression: await number(tag.compression, compressions.none),
    photometric: await number(tag.photometric, -1),
    fillOrder: await number(tag.fillOrder, fillOrders.highFirst),
    planar: await number(tag.planar, planarities.interleaved),
    tiled: tileFields.length > 0,
    ...(extras[0] === undefined ? {} : { extra: extras[0] }),
  };
  checkDepth(kind, bits, formats);
  checkColour(kind, extras, await number(tag.indexed, 0));
  // Without its colours libvips reads a palette as grey.
  const colours = directory.fields.get(tag.colourMap)?.count;
  if (kind.photometric === photometrics.palette && colours !== 3 * 2 ** kind.bits)
    throw imageError('image.damaged', 'the palette is absent or incomplete');
  const orientation = await number(tag.orientation, 1);
  if (orientation < 1 || orientation > 8) throw imageError('image.damaged', `orientation ${orientation}`);
  checkStorage(kind, await number(tag.predictor, 1));
  const depths = [await number(tag.imageDepth, 1), await number(tag.tileDepth, 1)];
  if (depths.some((depth) => depth !== 1)) throw unsupported('layout', 'a volume of several slices');
  await checkSegmentFields(directory, tileFields.length);
  return kind;
}

function unsupported(what: 'depth' | 'colour' | 'layout', message: string) {
  return imageError(`image.unsupported_${what}`, message);
}

/** All values of a field; none if it is absent. @throws MeshError `image.damaged` */
async function valuesOf(directory: TiffDirectory, id: number): Promise<number[]> {
  if (!directory.fields.has(id)) return [];
  const values = await directory.numbers(id, valuesMax);
  if (values === undefined || values.length === 0)
    throw imageError('image.damaged', `TIFF field ${id} has no unsigned whole numbers, or too many`);
  return [...values];
}

function checkDepth({ bits, samples }: TiffKind, all: number[], formats: number[]): void {
  const isEqual = all.every((each) => each === bits);
  if (![1, 2, 4, 8, 16].includes(bits) || !isEqual)
    throw unsupported('depth', `samples of ${all.join(', ')} bit: only 1, 2, 4, 8 and 16 are supported`);
  if (bits < 8 && samples !== 1)
    throw unsupported('depth', `${samples} samples of ${bits} bit: several samples need 8 or 16 bit`);
  if (formats.some((format) => format !== sampleFormats.unsigned))
    throw unsupported(
      'depth',
      `samples of format ${formats.join(', ')}: only unsigned numbers are supported`,
    );
  for (const [name, { length }] of Object.entries({ bits: all, format: formats })) {
    if (length > 1 && length !== samples)
      throw imageError('image.damaged', `${length} values of ${name} for ${samples} samples`);
  }
}

function checkColour(kind: TiffKind, extras: number[], indexed: number): void {
  const { bits, samples, photometric, compression } = kind;
  const { whiteIsZero, blackIsZero, rgb, palette, ycbcr } = photometrics;
  const colours = { [whiteIsZero]: 1, [blackIsZero]: 1, [rgb]: 3, [palette]: 1, [ycbcr]: 3 }[photometric];
  if (colours === undefined || indexed !== 0)
    throw unsupported('colour', `photometric interpretation ${photometric}: only grey, RGB and palettes`);
  // libjpeg converts YCbCr to RGB; without JPEG libvips would return the planes as they are.
  if (photometric === ycbcr && compression !== compressions.jpeg)
    throw unsupported('colour', 'YCbCr is only supported with JPEG compression');
  if (photometric === palette && bits > 8)
    throw unsupported('colour', `a palette of ${bits} bit: at most 8 bit are supported`);
  const extra = samples - colours;
  if (extra < 0 || extra > (photometric === ycbcr ? 0 : 1))
    throw unsupported('colour', `${samples} samples of photometric interpretation ${photometric}`);
  if (extras.length > 0 && extras.length !== extra)
    throw imageError('image.damaged', `${extras.length} extra samples are named, ${extra} exist`);
  const isPremultiplied = extras.includes(extraSampleKinds.associatedAlpha);
  if (isPremultiplied && photometric !== blackIsZero && photometric !== rgb)
    throw unsupported('colour', `premultiplied alpha in photometric interpretation ${photometric}`);
  const known: number[] = Object.values(extraSampleKinds);
  if (!extras.every((each) => known.includes(each)))
    throw unsupported('colour', `an extra sample of kind ${extras.join(', ')}`);
}

function checkStorage(kind: TiffKind, predictor: number): void {
  const { bits, samples, compression, fillOrder, planar, tiled } = kind;
  const isJpeg = compression === compressions.jpeg;
  if (![...lossless, ...bilevel, compressions.jpeg, webp].includes(compression))
    throw unsupported('layout', `compression ${compression}`);
  if (bilevel.includes(compression) && (bits !== 1 || samples !== 1))
    throw unsupported('layout', `compression ${compression} of ${samples} samples of ${bits} bit`);
  if (isJpeg && (bits !== 8 || samples % 2 === 0 || !jpegColours.includes(kind.photometric)))
    throw unsupported(
      'layout',
      `JPEG compression of ${samples} samples of ${bits} bit, photometric interpretation ${kind.photometric}`,
    );
  const isTurned = fillOrder === fillOrders.lowFirst;
  if (compression === webp && (bits !== 8 || samples < 3 || planar !== planarities.interleaved || isTurned))
    throw unsupported('layout', `WebP compression of ${samples} samples of ${bits} bit`);
  if (![fillOrders.highFirst, fillOrders.lowFirst].some((known) => known === fillOrder))
    throw unsupported('layout', `fill order ${fillOrder}`);
  if (![planarities.interleaved, planarities.planes].some((known) => known === planar))
    throw unsupported('layout', `planar configuration ${planar}`);
  const isPlanar = planar === planarities.planes;
  if (isPlanar && tiled) throw unsupported('layout', 'a plane for each colour, in tiles');
  // libvips copies planes as they are: it neither expands bits nor inverts them nor looks them up,
  // and it reads the second plane of two from wrong places.
  const isRead = bits >= 8 && planesRead[kind.photometric]?.includes(samples) === true;
  if (isPlanar && !isRead)
    throw unsupported(
      'layout',
      `${samples} planes of ${bits} bit, photometric interpretation ${kind.photometric}`,
    );
  if (isPlanar && isJpeg && samples > 1)
    throw unsupported('layout', 'a plane for each colour, compressed as JPEG');
  const predicts = predictor !== 1 && [5, 8, 32_946].includes(compression);
  if (predicts && (predictor !== 2 || bits < 8))
    throw unsupported('layout', `predictor ${predictor} of samples of ${bits} bit`);
}

/** Files with lists for strips and for tiles are read differently by different programs. */
async function checkSegmentFields(directory: TiffDirectory, tileFields: number): Promise<void> {
  const has = (id: number) => directory.fields.has(id);
  const isMixed =
    tileFields === 1 ||
    has(tag.tileOffsets) !== tileFields > 0 ||
    has(tag.stripOffsets) === tileFields > 0 ||
    has(tag.tileByteCounts) === has(tag.stripByteCounts);
  if (isMixed) throw imageError('image.damaged', 'fields of strips and tiles are incomplete or mixed');
  for (const id of [tag.width, tag.height, tag.rowsPerStrip, tag.tileWidth, tag.tileHeight]) {
    const isNeeded = id === tag.width || id === tag.height;
    if ((isNeeded || has(id)) && ((await directory.number(id)) ?? 0) === 0)
      throw imageError('image.damaged', `TIFF field ${id} is zero or absent`);
  }
}

const canonRaw = Buffer.from('II*\0\x10\0\0\0CR\x02\0', 'latin1');

/**
 * Refuses a first page that is only the small preview of a picture elsewhere in the file, as camera
 * raws have it.
 * @throws MeshError `image.unsupported_layout`
 */
export async function checkFirstPage(file: FileHandle, directory: TiffDirectory): Promise<void> {
  const [reduced, mask, oldReduced] = [1, 4, 2];
  const kind = (await valuesOf(directory, tag.newSubfileType))[0] ?? 0;
  const oldKind = (await valuesOf(directory, tag.subfileType))[0] ?? 0;
  // Canon's raws have a mark between the header and the directory at byte 16.
  const isCanon = (await exactly(file, 0, 12)).equals(canonRaw);
  const isRaw = isCanon || directory.fields.has(tag.dngVersion);
  if (isRaw || (kind & (reduced | mask)) !== 0 || oldKind === oldReduced)
    throw unsupported('layout', 'the first page is a reduced picture or a mask, as in camera raws');
  if (await isPreview(file, directory))
    throw unsupported('layout', 'the first page is the preview of a larger picture, as in camera raws');
}

const subDirectoriesMax = 64;

/** Whether a directory below this one has a larger picture. Those of a pyramid are smaller. */
async function isPreview(file: FileHandle, directory: TiffDirectory): Promise<boolean> {
  const pixels = async (of: TiffDirectory) =>
    ((await of.number(tag.width)) ?? 0) * ((await of.number(tag.height)) ?? 0);
  const own = await pixels(directory);
  const below = (await directory.numbers(tag.subDirectories, subDirectoriesMax)) ?? [];
  for (const offset of below)
    if ((await pixels(await readSubDirectory(file, directory, offset))) > own) return true;
  return false;
}

/** The places of more segments than this are only checked when the image is decoded. */
const segmentsCheckedMax = 2 ** 17;

/**
 * Refuses a TIFF whose segments are not all there, or lie outside the file. The library reads
 * absent tiles as black, and absent strips only fail when they are decoded.
 * @throws MeshError `image.damaged`, `image.truncated`
 */
export async function checkSegmentsInside(
  directory: TiffDirectory,
  kind: TiffKind,
  fileBytes: number,
): Promise<void> {
  const { tiled, compression } = kind;
  const offsets = await directory.numbers(tiled ? tag.tileOffsets : tag.stripOffsets, segmentsCheckedMax);
  const sizes = await directory.numbers(tiled ? tag.tileByteCounts : tag.stripByteCounts, segmentsCheckedMax);
  if (offsets === undefined || sizes === undefined) return;
  const { count, bytesOf } = await bareSizes(directory, kind);
  if (offsets.length < count || sizes.length < count)
    throw imageError('image.damaged', `places of ${offsets.length} strips or tiles, ${count} are needed`);
  for (let at = 0; at < count; at++) {
    const isBare = compression === compressions.none;
    const bytes = isBare ? bytesOf(at) : Math.max(1, sizes[at]!);
    // libtiff calculates the size of a single strip that is stated wrongly.
    if ((count > 1 || tiled) && sizes[at]! < bytes)
      throw imageError('image.damaged', `strip or tile ${at} of ${count} has only ${sizes[at]} bytes`);
    if (offsets[at]! + bytes > fileBytes)
      throw imageError('image.truncated', 'strips or tiles lie behind the end of the file');
  }
}

/** How many segments an image needs, and how many bytes each has without compression. */
async function bareSizes(directory: TiffDirectory, { bits, samples, planar, tiled }: TiffKind) {
  const number = async (id: number, absent: number) => (await directory.number(id)) ?? absent;
  const [width, height] = [await number(tag.width, 0), await number(tag.height, 0)];
  const across = tiled ? await number(tag.tileWidth, width) : width;
  const down = tiled
    ? await number(tag.tileHeight, height)
    : Math.min(height, await number(tag.rowsPerStrip, height));
  const planes = planar === planarities.planes ? samples : 1;
  const rowBytes = Math.ceil((across * bits * samples) / planes / 8);
  const perPlane = Math.ceil(width / across) * Math.ceil(height / down);
  return {
    count: perPlane * planes,
    bytesOf: (segment: number) =>
      rowBytes * (tiled ? down : Math.min(down, height - (segment % perPlane) * down)),
  };
}
