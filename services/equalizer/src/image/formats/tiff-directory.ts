/** Writes TIFF directories, classic and BigTIFF, little-endian. `tiff.ts` reads them. */
import { pixelBytes, segmentPixels, segmentsOf, type Segmentation, type SpoolShape } from './layout.ts';
import type { ImageMetadata } from '../metadata.ts';
import { tag } from './tiff.ts';

/** TIFF types of the written fields. */
const type = { short: 3, long: 4, rational: 5, bytes: 7, long8: 16 } as const;
interface Field {
  id: number;
  type: number;
  count: number;
  values: Buffer;
}

/** What a directory describes: equal segments, one after the other from `dataOffset` on. */
export interface Described {
  shape: SpoolShape;
  cut: Segmentation;
  metadata: ImageMetadata;
  dataOffset: number;
  /** Write a BigTIFF: files of 4 GB need it, but some readers do not support it. */
  big: boolean;
}

/** Size of all segments in bytes, including the padding of tiles. */
export function segmentedBytes(shape: SpoolShape, cut: Segmentation): number {
  const { across, down } = segmentsOf(shape, cut);
  const pixels = cut.tiled ? across * down * cut.width * cut.height : shape.width * shape.height;
  return pixels * pixelBytes(shape);
}

/** The header of a TIFF whose directory is at `directoryOffset`. */
export function headerBytes(big: boolean, directoryOffset: number): Buffer {
  const header = Buffer.alloc(16);
  header.write('II', 0, 'latin1');
  header.writeUInt16LE(big ? 43 : 42, 2);
  if (big) {
    header.writeUInt16LE(8, 4);
    header.writeBigUInt64LE(BigInt(directoryOffset), 8);
  } else {
    header.writeUInt32LE(directoryOffset, 4);
  }
  return header;
}

/** The bytes of a directory that is written at `offset`. */
export function directoryBytes(described: Described, offset: number): Buffer {
  const { big } = described;
  const [countBytes, wordBytes] = big ? [8, 8] : [2, 4];
  const entryBytes = 4 + 2 * wordBytes;
  const fields = fieldsOf(described).sort((one, other) => one.id - other.id);
  const table = Buffer.alloc(countBytes + fields.length * entryBytes + wordBytes);
  const write = (number: number, at: number, bytes: number): void => {
    if (bytes === 8) table.writeBigUInt64LE(BigInt(number), at);
    else table.writeUIntLE(number, at, bytes);
  };
  write(fields.length, 0, countBytes);
  const behind: Buffer[] = [];
  let free = offset + table.length;
  fields.forEach((field, index) => {
    const at = countBytes + index * entryBytes;
    write(field.id, at, 2);
    write(field.type, at + 2, 2);
    write(field.count, at + 4, wordBytes);
    const values = at + 4 + wordBytes;
    if (field.values.length <= wordBytes) {
      field.values.copy(table, values);
    } else {
      write(free, values, wordBytes);
      const padded = Buffer.alloc(Math.ceil(field.values.length / 8) * 8);
      field.values.copy(padded);
      behind.push(padded);
      free += padded.length;
    }
  });
  return Buffer.concat([table, ...behind]);
}

function fieldsOf({ shape, cut, metadata, dataOffset, big }: Described): Field[] {
  const { channels, depth } = shape;
  const blocks: [number, Buffer | undefined][] = [
    [tag.icc, metadata.icc],
    [tag.xmp, metadata.xmp],
    [tag.iptc, metadata.iptc],
    [tag.photoshop, metadata.photoshop],
  ];
  return [
    long(tag.width, shape.width),
    long(tag.height, shape.height),
    short(tag.bitsPerSample, ...new Array<number>(channels).fill(depth)),
    short(tag.compression, 1),
    short(tag.photometric, channels >= 3 ? 2 : 1),
    short(tag.orientation, metadata.orientation),
    short(tag.samplesPerPixel, channels),
    short(tag.planar, 1),
    // 2 is unassociated alpha: colours are not premultiplied.
    ...(channels % 2 === 0 ? [short(tag.extraSamples, 2)] : []),
    ...segmentFields(shape, cut, dataOffset, big),
    ...resolutionFields(metadata.density),
    ...blocks.flatMap(([id, values]) =>
      values === undefined ? [] : [{ id, type: type.bytes, count: values.length, values }],
    ),
  ];
}

function segmentFields(shape: SpoolShape, cut: Segmentation, dataOffset: number, big: boolean): Field[] {
  const { across, down } = segmentsOf(shape, cut);
  const [offsets, sizes]: [number[], number[]] = [[], []];
  let at = dataOffset;
  for (let segment = 0; segment < across * down; segment++) {
    const bytes = segmentPixels(shape, cut, segment) * pixelBytes(shape);
    offsets.push(at);
    sizes.push(bytes);
    at += bytes;
  }
  if (cut.tiled)
    return [
      long(tag.tileWidth, cut.width),
      long(tag.tileHeight, cut.height),
      words(tag.tileOffsets, offsets, big),
      words(tag.tileByteCounts, sizes, big),
    ];
  return [
    long(tag.rowsPerStrip, cut.height),
    words(tag.stripOffsets, offsets, big),
    words(tag.stripByteCounts, sizes, big),
  ];
}

function resolutionFields(density: number | undefined): Field[] {
  if (density === undefined) return [];
  const values = Buffer.alloc(8);
  values.writeUInt32LE(Math.round(density * 1_000), 0);
  values.writeUInt32LE(1_000, 4);
  const inch = 2;
  return [
    { id: tag.xResolution, type: type.rational, count: 1, values },
    { id: tag.yResolution, type: type.rational, count: 1, values },
    short(tag.resolutionUnit, inch),
  ];
}

function short(id: number, ...numbers: number[]): Field {
  const values = Buffer.alloc(numbers.length * 2);
  numbers.forEach((number, at) => values.writeUInt16LE(number, at * 2));
  return { id, type: type.short, count: numbers.length, values };
}

function long(id: number, number: number): Field {
  return words(id, [number], false);
}

/** Offsets and sizes: 8 bytes each in a BigTIFF, 4 in a classic TIFF. */
function words(id: number, numbers: readonly number[], big: boolean): Field {
  const size = big ? 8 : 4;
  const values = Buffer.alloc(numbers.length * size);
  numbers.forEach((number, at) => {
    if (big) values.writeBigUInt64LE(BigInt(number), at * 8);
    else values.writeUInt32LE(number, at * 4);
  });
  return { id, type: big ? type.long8 : type.long, count: numbers.length, values };
}
