/** TIFFs of a given size, one for each way in which the equalizer reads one. */
import { deflateSync } from 'node:zlib';

/** A TIFF to upload. */
export interface LargeTiff {
  name: string;
  /** Makes the file; it is not kept in memory meanwhile. */
  make: () => Buffer;
}

const channels = 3;
const stripRows = 64;
const tileSide = 256;
const compressions = { none: 1, deflate: 8 };

interface Layout {
  side: { width: number; height: number };
  bits: 8 | 16;
  tiled?: boolean;
  compression?: keyof typeof compressions;
}

/** The TIFFs whose pixels take `bytes`, or a little more. */
export function largeTiffs(bytes: number): LargeTiff[] {
  const width = Math.ceil(Math.sqrt(bytes / channels));
  const square = { width, height: width };
  const kind = (name: string, layout: Layout): LargeTiff => ({ name, make: () => tiffOf(layout) });
  return [
    kind('bare strips, in place', { side: square, bits: 8 }),
    kind('bare tiles, in place', { side: square, bits: 8, tiled: true }),
    kind('bare strips of 16 bit, in place', { side: { width, height: Math.ceil(width / 2) }, bits: 16 }),
    kind('deflate, through the library', { side: square, bits: 8, compression: 'deflate' }),
  ];
}

function tiffOf({ side: { width, height }, bits, tiled = false, compression = 'none' }: Layout): Buffer {
  const pixelBytes = (channels * bits) / 8;
  const [across, down] = tiled ? [tileSide, tileSide] : [width, stripRows];
  const segments: Buffer[] = [];
  for (let top = 0; top < height; top += down) {
    const rows = tiled ? down : Math.min(down, height - top);
    for (let left = 0; left < width; left += across)
      segments.push(packed(noise(across * rows * pixelBytes, segments.length), compression));
  }
  const counts = segments.map(({ length }) => length);
  const offsets: number[] = [];
  let end = 8;
  for (const bytes of counts) {
    offsets.push(end);
    end += bytes;
  }
  const directory = directoryOf(end, [
    [256, [width]],
    [257, [height]],
    [258, new Array<number>(channels).fill(bits)],
    [259, [compressions[compression]]],
    [262, [2]],
    ...(tiled ? [] : [[273, offsets] as Field]),
    [277, [channels]],
    ...(tiled
      ? []
      : ([
          [278, [stripRows]],
          [279, counts],
        ] satisfies Field[])),
    [284, [1]],
    ...(tiled
      ? ([
          [322, [tileSide]],
          [323, [tileSide]],
          [324, offsets],
          [325, counts],
        ] satisfies Field[])
      : []),
  ]);
  const header = Buffer.alloc(8);
  header.write('II');
  header.writeUInt16LE(42, 2);
  header.writeUInt32LE(end, 4);
  return Buffer.concat([header, ...segments, directory]);
}

/** The id and the values of a field of the directory. */
type Field = [number, number[]];

/** A directory that is written at `at`, in the order of the ids, with long values behind it. */
function directoryOf(at: number, fields: readonly Field[]): Buffer {
  const table = Buffer.alloc(2 + fields.length * 12 + 4);
  table.writeUInt16LE(fields.length, 0);
  const behind: Buffer[] = [];
  let free = at + table.length;
  for (const [index, [id, values]] of fields.entries()) {
    const entry = 2 + index * 12;
    table.writeUInt16LE(id, entry);
    table.writeUInt16LE(4, entry + 2);
    table.writeUInt32LE(values.length, entry + 4);
    const [first = 0] = values;
    table.writeUInt32LE(values.length === 1 ? first : free, entry + 8);
    if (values.length === 1) continue;
    const bytes = Buffer.alloc(values.length * 4);
    for (const [n, value] of values.entries()) bytes.writeUInt32LE(value, n * 4);
    behind.push(bytes);
    free += bytes.length;
  }
  return Buffer.concat([table, ...behind]);
}

/** Dark noise that no compression makes small; the same in every run. */
const noiseBlock = (() => {
  const block = Buffer.alloc(1 << 20);
  let state = 1;
  for (let n = 0; n < block.length; n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block[n] = state >>> 25;
  }
  return block;
})();

function noise(bytes: number, seed: number): Buffer {
  const filled = Buffer.alloc(bytes);
  for (let at = 0; at < bytes;) {
    const from = (seed * 7_919 + at) % noiseBlock.length;
    at += noiseBlock.copy(filled, at, from, Math.min(noiseBlock.length, from + bytes - at));
  }
  return filled;
}

function packed(bytes: Buffer, compression: keyof typeof compressions): Buffer {
  switch (compression) {
    case 'none':
      return bytes;
    case 'deflate':
      return deflateSync(bytes, { level: 1 });
  }
}
