/** TIFFs as other programs write them: what libvips would not write itself. */
import type { SpoolShape } from '../layout.ts';
import { bytesOf } from './samples.ts';

export interface TiffVariant {
  big?: boolean;
  /** Motorola's byte order, of samples too. */
  bigEndian?: boolean;
  /** Sides of tiles; strips of `rows` if absent. */
  tile?: { width: number; height: number };
  rows?: number;
  /** Segments stand in the file from the last to the first, with a gap before each. */
  backwards?: boolean;
  /** Fields that are not what they would be. */
  fields?: Readonly<Record<number, number>>;
  /** What the padding of tiles holds. */
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
  const directory = directoryOf(values, end, { big, bigEndian });
  body[0] = header(end, { big, bigEndian });
  return Buffer.concat([...body, directory]);
}

interface Dialect {
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

function header(directoryAt: number, { big, bigEndian }: Dialect): Buffer {
  return Buffer.concat([
    Buffer.from(bigEndian ? 'MM' : 'II'),
    word(big ? 43 : 42, 2, bigEndian),
    ...(big
      ? [word(8, 2, bigEndian), word(0, 2, bigEndian), word(directoryAt, 8, bigEndian)]
      : [word(directoryAt, 4, bigEndian), Buffer.alloc(8)]),
  ]);
}

function directoryOf(values: Record<number, number[]>, at: number, { big, bigEndian }: Dialect): Buffer {
  const size = big ? 8 : 4;
  const entries = Object.entries(values).sort(([one], [other]) => Number(one) - Number(other));
  const tableBytes = (big ? 8 : 2) + entries.length * (4 + 2 * size) + size;
  const parts = [word(entries.length, big ? 8 : 2, bigEndian)];
  const behind: Buffer[] = [];
  let free = at + tableBytes;
  for (const [id, numbers] of entries) {
    const bytes = Buffer.concat(numbers.map((number) => word(number, 4, bigEndian)));
    const inline = bytes.length <= size;
    const long = 4;
    parts.push(
      word(Number(id), 2, bigEndian),
      word(long, 2, bigEndian),
      word(numbers.length, size, bigEndian),
    );
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
