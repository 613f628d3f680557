/**
 * Random TIFFs, most of which no program writes, and the pixels that a right reader sees in them.
 */
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { directoryOf, header, type Entry } from './tiffs.ts';

/** Everything that varies between the files. A field of `undefined` is not written. */
export interface RandomTiff {
  big: boolean;
  bigEndian: boolean;
  width: number;
  height: number;
  /** Size of tiles; undefined for strips of `rows` rows. */
  tile: { width: number; height: number } | undefined;
  rows: number;
  bits: number;
  samples: number;
  photometric: number | undefined;
  planar: number | undefined;
  fillOrder: number | undefined;
  extraSamples: number[] | undefined;
  sampleFormat: number[] | undefined;
  compression: number;
  predictor: number | undefined;
  orientation: number | undefined;
  subfile: number | undefined;
  /** Write `BitsPerSample` once, and not for each sample. */
  bitsOnce: boolean;
  bytesEach: 2 | 4;
  /** A second field of the same number, which readers ignore. */
  twice: { id: number; value: number } | undefined;
  backwards: boolean;
  seed: number;
}

const often = <T>(usual: T[], odd: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) },
  );
const side = fc.integer({ min: 1, max: 40 });

export const randomTiffs: fc.Arbitrary<RandomTiff> = fc
  .record({
    big: fc.boolean(),
    bigEndian: fc.boolean(),
    width: side,
    height: side,
    tile: fc.option(fc.record({ width: fc.constantFrom(16, 32, 48), height: fc.constantFrom(16, 32) }), {
      nil: undefined,
      freq: 2,
    }),
    rows: side,
    bits: often([8, 8, 8, 16, 16, 1, 2, 4], [3, 12, 24, 32, 64]),
    photometric: often<number | undefined>(
      [0, 1, 1, 1, 2, 2, 2, 3],
      [4, 5, 6, 8, 9, 10, 32_803, 34_892, undefined],
    ),
    extra: often([0, 0, 1], [2, 3, -1]),
    planar: often<number | undefined>([1, 1, undefined, 2], [0, 3]),
    fillOrder: often<number | undefined>([undefined, 1, 1, 2], [0, 3]),
    extraKind: often([2, 2, 0, 1], [3, 999]),
    named: often([true], [false]),
    sampleFormat: often<number | undefined>([undefined, 1], [2, 3, 4, 6]),
    mixedFormat: often([false], [true]),
    compression: often([1, 1, 1, 8, 32_946, 32_773], [6, 33_003, 34_712, 50_000]),
    predictor: often<number | undefined>([undefined, 1, 2], [3, 9]),
    orientation: fc.constantFrom(undefined, 1, 2, 3, 4, 5, 6, 7, 8),
    subfile: often<number | undefined>([undefined, 0, 2], [1, 4]),
    bitsOnce: often([false], [true]),
    bytesEach: fc.constantFrom<2 | 4>(2, 4),
    twice: often<{ id: number; value: number } | undefined>(
      [undefined],
      [266, 284, 262, 258, 259].map((id) => ({ id, value: 1 })),
    ),
    backwards: fc.boolean(),
    seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  })
  .map(({ extra, extraKind, named, mixedFormat, sampleFormat, ...spec }) => {
    const colours = { 2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3 }[spec.photometric ?? 1] ?? 1;
    const samples = Math.max(1, colours + extra);
    const kinds = new Array<number>(Math.max(0, samples - colours)).fill(extraKind);
    const formats = new Array<number>(samples).fill(sampleFormat ?? 1);
    if (mixedFormat) formats[samples - 1] = 3;
    return {
      ...spec,
      samples,
      extraSamples: named && kinds.length > 0 ? kinds : undefined,
      sampleFormat: sampleFormat === undefined ? undefined : formats,
      // Several samples of fewer than 8 bit are refused; a few of them are enough.
      bits: samples > 1 && spec.bits < 8 && spec.seed % 8 !== 0 ? 8 : spec.bits,
    };
  });

/**
 * A TIFF file, and its samples: 8 bit, or 16 if the file has 16; undefined if they have no meaning.
 */
export function writeTiff(spec: RandomTiff): { file: Buffer; pixels: Uint8Array | Uint16Array | undefined } {
  const { width, height, samples, bits, big, bigEndian } = spec;
  const numbers = numbersOf(spec.seed);
  const values = Array.from({ length: width * height * samples }, () => numbers(2 ** Math.min(bits, 16)));
  const colours = Array.from({ length: 3 * 2 ** Math.min(bits, 8) }, () => numbers(65_536));
  const segments = segmentsOf(spec, values).map((segment) => compressed(spec, segment));
  const offsets = new Array<number>(segments.length).fill(0);
  const order = segments.map((_, at) => at);
  if (spec.backwards) order.reverse();
  const body: Buffer[] = [];
  let end = 16;
  for (const at of order) {
    offsets[at] = end;
    body.push(segments[at]!);
    end += segments[at]!.length;
  }
  const sizes = segments.map(({ length }) => length);
  const fields = fieldsOf(spec, { offsets, sizes, colours });
  const file = Buffer.concat([
    header(end, { big, bigEndian }),
    ...body,
    directoryOf(fields, end, { big, bigEndian }),
  ]);
  return { file, pixels: pixelsOf(spec, values, colours) };
}

function numbersOf(seed: number): (range: number) => number {
  let state = seed;
  return (range) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % range;
  };
}

function fieldsOf(
  spec: RandomTiff,
  { offsets, sizes, colours }: { offsets: number[]; sizes: number[]; colours: number[] },
): Entry[] {
  const { tile, samples, bytesEach, bits } = spec;
  const one = (id: number, value: number | undefined): Entry[] =>
    value === undefined ? [] : [{ id, numbers: [value], bytesEach }];
  const fields = [
    ...one(254, spec.subfile),
    ...one(256, spec.width),
    ...one(257, spec.height),
    { id: 258, numbers: new Array<number>(spec.bitsOnce ? 1 : samples).fill(bits), bytesEach },
    ...one(259, spec.compression),
    ...one(262, spec.photometric),
    ...one(266, spec.fillOrder),
    ...one(274, spec.orientation),
    ...one(277, samples),
    ...one(284, spec.planar),
    ...one(317, spec.predictor),
    ...(spec.photometric === 3 ? [{ id: 320, numbers: colours, bytesEach: 2 as const }] : []),
    ...(spec.extraSamples === undefined ? [] : [{ id: 338, numbers: spec.extraSamples, bytesEach }]),
    ...(spec.sampleFormat === undefined ? [] : [{ id: 339, numbers: spec.sampleFormat, bytesEach }]),
    ...(tile === undefined
      ? [{ id: 273, numbers: offsets }, ...one(278, spec.rows), { id: 279, numbers: sizes }]
      : [
          ...one(322, tile.width),
          ...one(323, tile.height),
          { id: 324, numbers: offsets },
          { id: 325, numbers: sizes },
        ]),
  ];
  const { twice } = spec;
  const isSecond = twice !== undefined && fields.some(({ id }) => id === twice.id);
  return [...fields, ...(isSecond ? one(twice.id, twice.value) : [])];
}

/** Strips or tiles of packed rows, for planes one plane after the other. */
function segmentsOf(spec: RandomTiff, values: number[]): Buffer[] {
  const { width, height, samples, tile, rows } = spec;
  const planes =
    spec.planar === 2
      ? Array.from({ length: samples }, (_, plane) => [plane])
      : [[...values.keys()].slice(0, samples)];
  const [across, down] = tile === undefined ? [width, rows] : [tile.width, tile.height];
  const segments: Buffer[] = [];
  for (const plane of planes) {
    for (let top = 0; top < height; top += down) {
      for (let left = 0; left < width; left += across) {
        const segmentRows = tile === undefined ? Math.min(down, height - top) : down;
        const lines = Array.from({ length: segmentRows }, (_, row) => {
          const line: number[] = [];
          for (let x = left; x < left + across; x++)
            for (const sample of plane)
              line.push(
                x < width && top + row < height ? values[((top + row) * width + x) * samples + sample]! : 0,
              );
          return packed(spec, line, plane.length);
        });
        segments.push(Buffer.concat(lines));
      }
    }
  }
  return segments;
}

/** One row as bytes. */
function packed(
  { bits, bigEndian, predictor, compression }: RandomTiff,
  line: number[],
  step: number,
): Buffer {
  const isPredicted = predictor === 2 && [8, 32_946].includes(compression) && bits >= 8;
  const numbers = isPredicted
    ? line.map((value, at) => (value - (at < step ? 0 : line[at - step]!)) & (2 ** bits - 1))
    : line;
  const bytes = Buffer.alloc(Math.ceil((line.length * bits) / 8));
  numbers.forEach((value, at) => {
    if (bits === 16 && bigEndian) bytes.writeUInt16BE(value, at * 2);
    else if (bits === 16) bytes.writeUInt16LE(value, at * 2);
    else if (bits <= 8)
      for (let bit = 0; bit < bits; bit++) {
        const place = at * bits + bit;
        if ((value >> (bits - 1 - bit)) & 1) bytes[place >> 3]! |= 0x80 >> (place & 7);
      }
  });
  return bytes;
}

function compressed({ compression, fillOrder }: RandomTiff, segment: Buffer): Buffer {
  const bytes = Buffer.from(
    compression === 8 || compression === 32_946
      ? deflateSync(segment)
      : compression === 32_773
        ? packBits(segment)
        : segment,
  );
  return fillOrder === 2 ? (bytes.map(turned) as Buffer) : bytes;
}

/** Literal runs only, which every reader must accept. */
function packBits(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 128) {
    const part = bytes.subarray(at, at + 128);
    parts.push(Buffer.from([part.length - 1]), part);
  }
  return Buffer.concat(parts);
}

function turned(byte: number): number {
  let result = 0;
  for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) result |= 0x80 >> bit;
  return result;
}

/** A colour without the alpha that it was multiplied by. */
function divided(colour: number, alpha: number, top: number): number {
  return alpha === 0 ? 0 : Math.min(top, Math.round((colour * top) / alpha));
}

/** What a right reader sees; grey is scaled to 8 bit, palettes become RGB. */
function pixelsOf(
  spec: RandomTiff,
  values: number[],
  colours: number[],
): Uint8Array | Uint16Array | undefined {
  const { bits, samples, photometric = -1 } = spec;
  if (![1, 2, 4, 8, 16].includes(bits) || ![0, 1, 2, 3].includes(photometric)) return undefined;
  const top = 2 ** bits - 1;
  const scaled = (value: number) => (bits < 8 ? (value * 255) / top : value);
  const isPremultiplied = spec.extraSamples?.[0] === 1;
  const colourSamples = photometric === 2 ? 3 : 1;
  const result: number[] = [];
  values.forEach((value, at) => {
    const isColour = at % samples === 0;
    if (photometric === 3 && isColour) {
      for (const plane of [0, 1, 2]) result.push(colours[plane * 2 ** bits + value]! >> 8);
    } else {
      const isAlpha = at % samples === colourSamples;
      const alpha = values[at - (at % samples) + colourSamples] ?? top;
      const read = photometric === 0 && isColour ? top - value : value;
      result.push(isPremultiplied && !isAlpha ? divided(read, alpha, top) : scaled(read));
    }
  });
  return bits === 16 ? Uint16Array.from(result) : Uint8Array.from(result);
}
