/** TIFFs as other programs write them, which libvips itself would not write. */
import type { SpoolShape } from '../formats/layout.ts';
import { bytesOf } from './samples.ts';

export interface TiffVariant {
  big?: boolean;
  /** Big-endian byte order, also of samples. */
  bigEndian?: boolean;
  /** Size of tiles. Default: strips of `rows` rows. */
  tile?: { width: number; height: number };
  rows?: number;
  /** Write the segments from the last to the first, with a gap before each. */
  backwards?: boolean;
  /** Fields that are overwritten. */
  fields?: Readonly<Record<number, number>>;
  /** Value of the bytes in the padding of tiles. */
  padding?: number;
}

/** An uncompressed TIFF of these samples. */
export function tiffOf(
  shape: SpoolShape,
  samples: Uint8Array | Uint16Array,
  variant: TiffVariant = {},
): Buffer {
  const { big = false, bigEndian = false, fields = {} } = variant;
  const segments = segmentsOf(shape, ordered(shape, samples, bigEndian), variant);
  const order = segments.map((_, at) => at);
  if (variant.backwards === true) order.reverse();
  const body: Buffer[] = [Buffer.alloc(16)];
  const offsets = new Array<number>(segments.length).fill(0);
  let end = 16;
  for (const segment of order) {
    const gap = Buffer.alloc(variant.backwards === true ? 3 : 0, 0xee);
    offsets[segment] = end + gap.length;
    body.push(gap, segments[segment]!);
    end += gap.length + segments[segment]!.length;
  }
  const { width, height, channels, depth } = shape;
  const { tile, rows = height } = variant;
  const values: Record<number, number[]> = {
    256: [width],
    257: [height],
    258: new Array<number>(channels).fill(depth),
    259: [1],
    262: [channels >= 3 ? 2 : 1],
    277: [channels],
    ...(tile === undefined
      ? { 273: offsets, 278: [rows], 279: segments.map(({ length }) => length) }
      : { 322: [tile.width], 323: [tile.height], 324: offsets, 325: segments.map(({ length }) => length) }),
    284: [1],
    ...(channels % 2 === 0 ? { 338: [2] } : {}),
  };
  for (const [id, value] of Object.entries(fields)) values[Number(id)] = [value];
  const entries = Object.entries(values).map(([id, numbers]) => ({ id: Number(id), numbers }));
  const directory = directoryOf(entries, end, { big, bigEndian });
  body[0] = header(end, { big, bigEndian });
  return Buffer.concat([...body, directory]);
}

/** A field of a directory; its numbers have 1, 2 or 4 bytes each. */
export interface Entry {
  id: number;
  numbers: readonly number[];
  /** Default: 4. */
  bytesEach?: 1 | 2 | 4;
}

export interface Dialect {
  big: boolean;
  bigEndian: boolean;
}

function ordered(shape: SpoolShape, samples: Uint8Array | Uint16Array, bigEndian: boolean): Buffer {
  const bytes = Buffer.from(bytesOf(samples));
  return shape.depth === 16 && bigEndian ? bytes.swap16() : bytes;
}

function segmentsOf(shape: SpoolShape, bytes: Buffer, { tile, rows, padding = 0 }: TiffVariant): Buffer[] {
  const { width, height } = shape;
  const pixel = (shape.channels * shape.depth) / 8;
  const [across, down] = [tile?.width ?? width, tile?.height ?? rows ?? height];
  const segments: Buffer[] = [];
  for (let top = 0; top < height; top += down) {
    for (let left = 0; left < width; left += across) {
      const segmentRows = tile === undefined ? Math.min(down, height - top) : down;
      const segment = Buffer.alloc(across * segmentRows * pixel, padding);
      for (let row = 0; row < Math.min(segmentRows, height - top); row++) {
        const from = ((top + row) * width + left) * pixel;
        bytes.copy(segment, row * across * pixel, from, from + Math.min(across, width - left) * pixel);
      }
      segments.push(segment);
    }
  }
  return segments;
}

/** The header of a TIFF whose directory is at `directoryAt`. */
export function header(directoryAt: number, { big, bigEndian }: Dialect): Buffer {
  return Buffer.concat([
    Buffer.from(bigEndian ? 'MM' : 'II'),
    word(big ? 43 : 42, 2, bigEndian),
    ...(big
      ? [word(8, 2, bigEndian), word(0, 2, bigEndian), word(directoryAt, 8, bigEndian)]
      : [word(directoryAt, 4, bigEndian), Buffer.alloc(8)]),
  ]);
}

/** A directory that is written at `at`, with the values that do not fit into it behind it. */
export function directoryOf(fields: readonly Entry[], at: number, { big, bigEndian }: Dialect): Buffer {
  const size = big ? 8 : 4;
  const entries = [...fields].sort((one, other) => one.id - other.id);
  const tableBytes = (big ? 8 : 2) + entries.length * (4 + 2 * size) + size;
  const parts = [word(entries.length, big ? 8 : 2, bigEndian)];
  const behind: Buffer[] = [];
  let free = at + tableBytes;
  for (const { id, numbers, bytesEach = 4 } of entries) {
    const bytes = Buffer.concat(numbers.map((number) => word(number, bytesEach, bigEndian)));
    const inline = bytes.length <= size;
    const type = { 1: 1, 2: 3, 4: 4 }[bytesEach];
    parts.push(word(id, 2, bigEndian), word(type, 2, bigEndian), word(numbers.length, size, bigEndian));
    parts.push(
      inline ? Buffer.concat([bytes, Buffer.alloc(size - bytes.length)]) : word(free, size, bigEndian),
    );
    if (!inline) {
      behind.push(bytes);
      free += bytes.length;
    }
  }
  return Buffer.concat([...parts, word(0, size, bigEndian), ...behind]);
}

function word(number: number, bytes: number, bigEndian: boolean): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) {
    if (bigEndian) buffer.writeBigUInt64BE(BigInt(number));
    else buffer.writeBigUInt64LE(BigInt(number));
  } else if (bigEndian) {
    buffer.writeUIntBE(number, 0, bytes);
  } else {
    buffer.writeUIntLE(number, 0, bytes);
  }
  return buffer;
}
