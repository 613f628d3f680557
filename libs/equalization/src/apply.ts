/** Maps each pixel through the tables: the second map step. */
import { EqualizationError } from './errors.ts';
import { lumaOf, lumaWeights, writeMoved } from './luma.ts';
import type { EqualizationPlan } from './plan.ts';
import { layoutOf, type Raster, type Samples } from './raster.ts';
import type { LookupTables } from './tables.ts';

/**
 * Equalizes the pixels of a raster. Alpha is copied.
 * @param target where the rows go: of `plan.outputChannels` channels and of the same size; it may
 *   be the raster itself if the channels are as many. A new, dense one if absent.
 * @returns the target
 * @throws EqualizationError `equalization.bad_raster`, `equalization.too_many_pixels`,
 *   `equalization.damaged` (tables of another plan)
 */
export function applyTables(
  plan: EqualizationPlan,
  tables: LookupTables,
  raster: Raster,
  target: Raster = emptyRaster(plan, raster.width, raster.height),
): Raster {
  const { entries } = tables;
  if (entries.length !== plan.planes * plan.bins || entries.BYTES_PER_ELEMENT * 8 !== plan.depth) {
    throw new EqualizationError('equalization.damaged', 'lookup tables of another plan');
  }
  layoutOf(raster, plan.channels, plan.depth);
  layoutOf(target, plan.outputChannels, plan.depth);
  if (target.width !== raster.width || target.height !== raster.height) {
    throw new EqualizationError('equalization.bad_raster', 'the target has another size');
  }
  const run = runnerOf(plan);
  const fromStride = raster.stride ?? raster.width * plan.channels;
  const toStride = target.stride ?? target.width * plan.outputChannels;
  for (let row = 0; row < raster.height; row++) {
    const strip: Strip = {
      from: raster.samples,
      fromAt: row * fromStride,
      to: target.samples,
      toAt: row * toStride,
      pixels: raster.width,
    };
    run(plan, entries, strip);
  }
  return target;
}

/** A dense raster for the output of a plan. */
export function emptyRaster(plan: EqualizationPlan, width: number, height: number): Raster {
  const length = width * height * plan.outputChannels;
  return { samples: plan.depth === 8 ? new Uint8Array(length) : new Uint16Array(length), width, height };
}

interface Strip {
  from: Samples;
  fromAt: number;
  to: Samples;
  toAt: number;
  pixels: number;
}

type Runner = (plan: EqualizationPlan, table: Samples, strip: Strip) => void;

function runnerOf(plan: EqualizationPlan): Runner {
  if (plan.source === 'luma') return plan.mode === 'grey' ? toGrey : moveLuma;
  if (plan.planes === 3) return mapColours;
  if (plan.channels === 2) return mapGreyWithAlpha;
  return plan.depth === 8 ? mapBytes : mapWords;
}

/**
 * Maps four bytes a step where they are aligned: a loop over single bytes takes two to three times
 * as long.
 */
function mapBytes(_: EqualizationPlan, table: Samples, strip: Strip): void {
  const from = strip.from.subarray(strip.fromAt, strip.fromAt + strip.pixels);
  const to = strip.to.subarray(strip.toAt, strip.toAt + strip.pixels);
  const aligned = from.length >= pairedBytesMin && from.byteOffset % 4 === 0 && to.byteOffset % 4 === 0;
  const words = aligned ? from.length >> 2 : 0;
  if (words > 0) mapPairs(pairTableOf(table), wordsOf(from, words), wordsOf(to, words));
  for (let at = words * 4; at < from.length; at++) to[at] = table[from[at]!]!;
}

function mapPairs(table: Uint16Array, from: Int32Array, to: Int32Array): void {
  for (let at = 0; at < from.length; at++) {
    const four = from[at]!;
    to[at] = table[four & 0xffff]! | (table[four >>> 16]! << 16);
  }
}

function wordsOf({ buffer, byteOffset }: Samples, words: number): Int32Array {
  return new Int32Array(buffer, byteOffset, words);
}

/** Below this length, a table of pairs would cost more than it saves. */
const pairedBytesMin = 65_536;
const pairTables = new WeakMap<Samples, Uint16Array>();

/**
 * The results for every pair of neighbouring bytes, in either byte order. Computed once for all
 * rows of a table.
 */
function pairTableOf(table: Samples): Uint16Array {
  const known = pairTables.get(table);
  if (known !== undefined) return known;
  const pairs = new Uint16Array(65_536);
  for (let pair = 0; pair < pairs.length; pair++)
    pairs[pair] = table[pair & 0xff]! | (table[pair >> 8]! << 8);
  pairTables.set(table, pairs);
  return pairs;
}

function mapWords(_: EqualizationPlan, table: Samples, strip: Strip): void {
  const from = strip.from.subarray(strip.fromAt, strip.fromAt + strip.pixels);
  const to = strip.to.subarray(strip.toAt, strip.toAt + strip.pixels);
  for (let at = 0; at < from.length; at++) to[at] = table[from[at]!]!;
}

function mapGreyWithAlpha(_: EqualizationPlan, table: Samples, strip: Strip): void {
  const { from, to, fromAt, toAt } = strip;
  const samples = strip.pixels * 2;
  for (let at = 0; at < samples; at += 2) {
    to[toAt + at] = table[from[fromAt + at]!]!;
    to[toAt + at + 1] = from[fromAt + at + 1]!;
  }
}

function mapColours({ channels, bins }: EqualizationPlan, table: Samples, strip: Strip): void {
  const { from, to, fromAt, toAt } = strip;
  const samples = strip.pixels * channels;
  for (let at = 0; at < samples; at += channels) {
    to[toAt + at] = table[from[fromAt + at]!]!;
    to[toAt + at + 1] = table[bins + from[fromAt + at + 1]!]!;
    to[toAt + at + 2] = table[2 * bins + from[fromAt + at + 2]!]!;
    if (channels === 4) to[toAt + at + 3] = from[fromAt + at + 3]!;
  }
}

function toGrey({ channels, outputChannels }: EqualizationPlan, table: Samples, strip: Strip): void {
  const { from, to } = strip;
  const { red, green, blue } = lumaWeights;
  let at = strip.fromAt;
  let out = strip.toAt;
  for (let pixel = 0; pixel < strip.pixels; pixel++, at += channels, out += outputChannels) {
    to[out] = table[(red * from[at]! + green * from[at + 1]! + blue * from[at + 2]! + 16_384) >> 15]!;
    if (outputChannels === 2) to[out + 1] = from[at + 3]!;
  }
}

/** Gives each pixel the luma that the table maps its own luma to. */
function moveLuma({ channels, bins }: EqualizationPlan, table: Samples, strip: Strip): void {
  const from = strip.from.subarray(strip.fromAt, strip.fromAt + strip.pixels * channels);
  const to = strip.to.subarray(strip.toAt, strip.toAt + strip.pixels * channels);
  for (let at = 0; at < from.length; at += channels) {
    const r = from[at]!;
    const g = from[at + 1]!;
    const b = from[at + 2]!;
    const luma = lumaOf(r, g, b);
    writeMoved(to, at, r, g, b, luma, table[luma]!, bins - 1);
    if (channels === 4) to[at + 3] = from[at + 3]!;
  }
}

/**
 * Gives each pixel of a colour image a luma of its own, in place. For methods without a single
 * table, such as local equalization. Alpha stays.
 * @param lumas one for each pixel, of the image's depth
 * @throws EqualizationError `equalization.bad_raster`
 */
export function applyLumas(raster: Raster, lumas: Samples, channels: 3 | 4): void {
  const { samples } = raster;
  const depth = samples.BYTES_PER_ELEMENT === 1 ? 8 : 16;
  const layout = layoutOf(raster, channels, depth);
  const pixels = (layout.rowSamples / channels) * layout.rows;
  if (layout.rows > 1 || lumas.length < pixels) {
    throw new EqualizationError(
      'equalization.bad_raster',
      'the rows must be dense and have a luma for each pixel',
    );
  }
  for (let pixel = 0, at = 0; pixel < pixels; pixel++, at += channels) {
    const r = samples[at]!;
    const g = samples[at + 1]!;
    const b = samples[at + 2]!;
    writeMoved(samples, at, r, g, b, lumaOf(r, g, b), lumas[pixel]!, 2 ** depth - 1);
  }
}
