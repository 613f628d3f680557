/**
 * Reads TIFF directories, classic and BigTIFF: the part of TIFF 6.0 that is needed for the layout
 * of an image and for spools.
 */
import type { FileHandle } from 'node:fs/promises';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';

/** Numbers of the fields that are used here (TIFF 6.0). */
export const tag = {
  newSubfileType: 254,
  subfileType: 255,
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  orientation: 274,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  xResolution: 282,
  yResolution: 283,
  planar: 284,
  resolutionUnit: 296,
  predictor: 317,
  colourMap: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
  subDirectories: 330,
  extraSamples: 338,
  sampleFormat: 339,
  indexed: 346,
  xmp: 700,
  imageDepth: 32997,
  tileDepth: 32998,
  iptc: 33723,
  photoshop: 34377,
  icc: 34675,
  dngVersion: 50706,
} as const;

/** One field: the place and the number of its values. */
export interface TiffField {
  type: number;
  count: number;
  /** Size of its values in bytes. */
  bytes: number;
  offset: number;
}

export interface TiffDirectory {
  big: boolean;
  /** Whether samples of 16 bit are little-endian. */
  little: boolean;
  fields: ReadonlyMap<number, TiffField>;
  /** The first value of a field of whole numbers; undefined if there is no such field. */
  number(id: number): Promise<number | undefined>;
  /**
   * All values of a field of whole numbers; undefined if there is no such field, or if it has more
   * than `countMax`.
   * @throws MeshError `image.damaged`, `image.truncated`
   */
  numbers(id: number, countMax: number): Promise<Float64Array | undefined>;
  /** The bytes of a field's values. */
  bytes(id: number): Promise<Buffer | undefined>;
}

const sizeOfType: Readonly<Record<number, number>> = {
  1: 1,
  2: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  7: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
  16: 8,
  17: 8,
  18: 8,
};
/** Sizes of the types that are unsigned whole numbers. */
const wordTypes: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8 };
const entriesMax = 4_096;

/** The word sizes and byte order of one file. */
interface Dialect {
  little: boolean;
  big: boolean;
}

/**
 * Reads the directory of one page.
 * @param page from 0
 * @throws MeshError `image.damaged`, `image.truncated`, `image.no_such_page`
 */
export async function readDirectory(file: FileHandle, page: number): Promise<TiffDirectory> {
  const head = await exactly(file, 0, 8);
  const little = head.toString('latin1', 0, 2) === 'II';
  const version = little ? head.readUInt16LE(2) : head.readUInt16BE(2);
  if (version !== 42 && version !== 43) throw imageError('image.damaged', `TIFF version ${version}`);
  const dialect = { little, big: version === 43 };
  let offset = dialect.big ? word(await exactly(file, 8, 8), 0, 8, dialect) : word(head, 4, 4, dialect);
  for (let at = 0; ; at++) {
    if (offset === 0) throw imageError('image.no_such_page', `page ${page} of ${at}`);
    const { entries, next } = await readEntries(file, offset, dialect);
    if (at === page) return directoryOf(file, entries, offset, dialect);
    offset = next;
  }
}

/**
 * Reads a directory that a field of another one names.
 * @param of the directory with that field
 * @throws MeshError `image.damaged`, `image.truncated`
 */
export async function readSubDirectory(
  file: FileHandle,
  of: TiffDirectory,
  offset: number,
): Promise<TiffDirectory> {
  const dialect = { little: of.little, big: of.big };
  return directoryOf(file, (await readEntries(file, offset, dialect)).entries, offset, dialect);
}

async function readEntries(file: FileHandle, offset: number, dialect: Dialect) {
  const countBytes = dialect.big ? 8 : 2;
  const entryBytes = dialect.big ? 20 : 12;
  const count = word(await exactly(file, offset, countBytes), 0, countBytes, dialect);
  if (count > entriesMax) throw imageError('image.damaged', `a directory of ${count} entries`);
  const tail = dialect.big ? 8 : 4;
  const entries = await exactly(file, offset + countBytes, count * entryBytes + tail);
  return { entries, next: word(entries, count * entryBytes, tail, dialect) };
}

function directoryOf(file: FileHandle, entries: Buffer, offset: number, dialect: Dialect): TiffDirectory {
  const entryBytes = dialect.big ? 20 : 12;
  const inline = dialect.big ? 8 : 4;
  const first = offset + (dialect.big ? 8 : 2);
  const fields = new Map<number, TiffField>();
  for (let at = 0; at + entryBytes <= entries.length - inline + 0; at += entryBytes) {
    const type = word(entries, at + 2, 2, dialect);
    const count = word(entries, at + 4, inline, dialect);
    const bytes = count * (sizeOfType[type] ?? 1);
    const place = at + 4 + inline;
    const where = bytes <= inline ? first + place : word(entries, place, inline, dialect);
    const id = word(entries, at, 2, dialect);
    // Of two fields with one number, libtiff reads the first.
    if (!fields.has(id)) fields.set(id, { type, count, bytes, offset: where });
  }
  const bytesOf = async (id: number) => {
    const field = fields.get(id);
    return field === undefined ? undefined : exactly(file, field.offset, field.bytes);
  };
  return {
    big: dialect.big,
    little: dialect.little,
    fields,
    bytes: bytesOf,
    numbers: async (id, countMax) => {
      const field = fields.get(id);
      const size = wordTypes[field?.type ?? 0];
      if (field === undefined || size === undefined || field.count > countMax) return undefined;
      return words(await exactly(file, field.offset, field.bytes), size, dialect);
    },
    number: async (id) => {
      const field = fields.get(id);
      if (field === undefined || field.count === 0) return undefined;
      const size = sizeOfType[field.type] ?? 1;
      return word(await exactly(file, field.offset, size), 0, size, dialect);
    },
  };
}

/** An unsigned whole number of 1, 2, 4 or 8 bytes. */
function word(buffer: Buffer, at: number, size: number, { little }: Dialect): number {
  if (size === 8) {
    const value = little ? buffer.readBigUInt64LE(at) : buffer.readBigUInt64BE(at);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw imageError('image.damaged', `offset ${value} in a TIFF`);
    return Number(value);
  }
  return little ? buffer.readUIntLE(at, size) : buffer.readUIntBE(at, size);
}

/**
 * Many unsigned whole numbers. Tens of thousands are read again for each chunk of a large image, so
 * offsets below 4 GiB take a faster path.
 */
function words(buffer: Buffer, size: number, dialect: Dialect): Float64Array {
  const values = new Float64Array(buffer.length / size);
  const short = size === 8 && dialect.little;
  for (let at = 0, from = 0; at < values.length; at++, from += size) {
    const isSmall =
      short && (buffer[from + 4]! | buffer[from + 5]! | buffer[from + 6]! | buffer[from + 7]!) === 0;
    values[at] = isSmall
      ? (buffer[from]! | (buffer[from + 1]! << 8) | (buffer[from + 2]! << 16)) + buffer[from + 3]! * 2 ** 24
      : word(buffer, from, size, dialect);
  }
  return values;
}
