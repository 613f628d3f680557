/** Generated images and ways to cut them, for property tests. */
import fc from 'fast-check';
import {
  definitions,
  depthsOf,
  modes,
  type Channels,
  type Definition,
  type Depth,
  type Mode,
} from '../plan.ts';
import type { Raster } from '../raster.ts';
import type { NaiveImage } from './reference.ts';

/** One case: an image, what to do with it, and how it is cut and delivered. */
export interface Case {
  image: NaiveImage;
  /** Samples after each row that are not part of the image. */
  gap: number;
  mode: Mode;
  definition: Definition;
  chunks: number;
  /** Order of delivery, and which results arrive twice. */
  order: number;
}

const kinds = ['flat', 'two-valued', 'dim', 'any', 'ramp'] as const;
const chunkCounts = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 64 }));

export const cases: fc.Arbitrary<Case> = fc
  .record({
    width: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 23 })),
    height: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 23 })),
    depth: fc.constantFrom<Depth>(8, 8, 8, 16),
    channels: fc.constantFrom<Channels>(1, 2, 3, 4),
    kind: fc.constantFrom(...kinds),
    noise: fc.integer({ min: 1, max: 0x7fffffff }),
    gap: fc.integer({ min: 0, max: 5 }),
    mode: fc.constantFrom(...modes),
    definition: fc.constantFrom(...definitions),
    chunks: chunkCounts,
    order: fc.integer({ min: 1, max: 0x7fffffff }),
  })
  .map(({ width, height, channels, kind, noise, gap, mode, definition, chunks, order, ...rest }) => {
    const depth = depthsOf[definition].includes(rest.depth) ? rest.depth : 8;
    const pixels = pixelsOf(kind, width * height, channels, depth, generator(noise));
    return { image: { width, height, depth, channels, pixels }, gap, mode, definition, chunks, order };
  });

/** Marsaglia's xorshift: numbers below 2³² that a seed fixes. */
export function generator(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function pixelsOf(
  kind: (typeof kinds)[number],
  count: number,
  channels: Channels,
  depth: Depth,
  next: () => number,
): number[][] {
  const range = 2 ** depth;
  const pixel = (sample: () => number) => Array.from({ length: channels }, sample);
  const any = () => next() % range;
  const two = [pixel(any), pixel(any)];
  const base = any();
  const make = {
    flat: () => [...two[0]!],
    'two-valued': () => [...two[next() % 2]!],
    dim: () => pixel(() => Math.min(range - 1, base + (next() % 9))),
    any: () => pixel(any),
    ramp: (_: unknown, at: number) => pixel(() => Math.floor((at * (range - 1)) / count)),
  }[kind];
  return Array.from({ length: count }, make);
}

/** The image as rows in memory, with `gap` samples of rubbish after each. */
export function rasterOf(image: NaiveImage, gap: number): Raster {
  const { width, height, channels, depth } = image;
  const stride = width * channels + gap;
  const samples = depth === 8 ? new Uint8Array(stride * height) : new Uint16Array(stride * height);
  samples.fill(0xa5);
  image.pixels.forEach((pixel, at) => {
    samples.set(pixel, Math.floor(at / width) * stride + (at % width) * channels);
  });
  return { samples, width, height, stride };
}

/** The pixels of rows in memory. */
export function pixelsIn(raster: Raster, channels: number): number[][] {
  const stride = raster.stride ?? raster.width * channels;
  return Array.from({ length: raster.width * raster.height }, (_, at) => {
    const from = Math.floor(at / raster.width) * stride + (at % raster.width) * channels;
    return [...raster.samples.subarray(from, from + channels)];
  });
}

/** A rectangle of an image. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * Cuts an image into at most `count` rectangles that cover it: the largest is halved until there
 * are enough or all are single pixels.
 */
export function cut(width: number, height: number, count: number): Rectangle[] {
  const parts: Rectangle[] = [{ left: 0, top: 0, width, height }];
  while (parts.length < count) {
    parts.sort((one, other) => other.width * other.height - one.width * one.height);
    const part = parts[0]!;
    if (part.width * part.height === 1) break;
    const wide = part.width > part.height;
    const first = Math.ceil((wide ? part.width : part.height) / 2);
    parts.splice(0, 1, ...halves(part, wide, first));
  }
  return parts;
}

function halves(part: Rectangle, wide: boolean, first: number): Rectangle[] {
  return wide
    ? [
        { ...part, width: first },
        { ...part, left: part.left + first, width: part.width - first },
      ]
    : [
        { ...part, height: first },
        { ...part, top: part.top + first, height: part.height - first },
      ];
}

/** The part of a raster that a rectangle names, without copying. */
export function window(raster: Raster, channels: number, part: Rectangle): Raster {
  const stride = raster.stride ?? raster.width * channels;
  const from = part.top * stride + part.left * channels;
  const length = (part.height - 1) * stride + part.width * channels;
  return {
    samples: raster.samples.subarray(from, from + length),
    width: part.width,
    height: part.height,
    stride,
  };
}
