/** Counts values: the map step. */
import { lumaWeights } from './luma.ts';
import type { EqualizationPlan } from './plan.ts';
import { layoutOf, type Layout, type Raster, type Samples } from './raster.ts';

/** How often each value occurs among the pixels of one chunk. */
export interface Histogram {
  /** Number of counted pixels; every plane sums to it, unless it was added to other counts. */
  readonly pixels: number;
  /** `planes × bins` counts, plane after plane. */
  readonly counts: Uint32Array;
}

/**
 * Counts the pixels of a raster. Alpha is ignored: transparent pixels count like any other.
 * @param counts the counts to add to; zeros if absent
 * @throws EqualizationError `equalization.bad_raster`, `equalization.too_many_pixels`
 */
export function histogramOf(
  plan: EqualizationPlan,
  raster: Raster,
  counts = new Uint32Array(plan.planes * plan.bins),
): Histogram {
  const layout = layoutOf(raster, plan.channels, plan.depth);
  for (let row = 0; row < layout.rows; row++) {
    const from = row * layout.stride;
    const to = from + layout.rowSamples;
    if (plan.source === 'luma') countLuma(raster.samples, from, to, plan.channels, counts);
    else if (plan.planes === 3) countColours(raster.samples, from, to, plan.channels, plan.bins, counts);
    else if (plan.channels === 1 && plan.depth === 8) countBytes(raster.samples, from, to, counts);
    else countEvery(raster.samples, from, to, plan.channels, counts);
  }
  return { pixels: pixelsOf(layout, plan.channels), counts };
}

/** How many pixels each plane counts. */
export function planeSums(plan: EqualizationPlan, counts: Uint32Array): number[] {
  const sums = new Array<number>(plan.planes).fill(0);
  for (let plane = 0; plane < plan.planes; plane++) {
    for (let bin = plane * plan.bins; bin < (plane + 1) * plan.bins; bin++) sums[plane]! += counts[bin] ?? 0;
  }
  return sums;
}

function pixelsOf(layout: Layout, channels: number): number {
  return (layout.rowSamples / channels) * layout.rows;
}

/**
 * Counts of all pairs of bytes, in two tables that take turns. A loop over pairs has half the steps
 * of a loop over bytes.
 */
const [pairs, otherPairs] = [new Uint32Array(65_536), new Uint32Array(65_536)];
/** Below this length, clearing and adding up the pairs would cost more than it saves. */
const pairedBytesMin = 262_144;

function countBytes(samples: Samples, from: number, to: number, counts: Uint32Array): void {
  const first = samples.byteOffset + from;
  const words = to - from < pairedBytesMin || first % 2 !== 0 ? 0 : (to - from) >> 2;
  if (words > 0) countPairs(new Uint16Array(samples.buffer, first, words * 2), counts);
  for (let at = from + words * 4; at < to; at++) counts[samples[at]!]!++;
}

/**
 * Uses two tables, because equal neighbours, the usual case, would otherwise wait for each other's
 * write.
 */
function countPairs(words: Uint16Array, counts: Uint32Array): void {
  pairs.fill(0);
  otherPairs.fill(0);
  for (let at = 0; at < words.length; at += 2) {
    pairs[words[at]!]!++;
    otherPairs[words[at + 1]!]!++;
  }
  for (let pair = 0; pair < pairs.length; pair++) {
    const found = pairs[pair]! + otherPairs[pair]!;
    counts[pair & 0xff]! += found;
    counts[pair >> 8]! += found;
  }
}

function countEvery(samples: Samples, from: number, to: number, step: number, counts: Uint32Array): void {
  for (let at = from; at < to; at += step) counts[samples[at]!]!++;
}

function countColours(
  samples: Samples,
  from: number,
  to: number,
  step: number,
  bins: number,
  counts: Uint32Array,
): void {
  for (let at = from; at < to; at += step) {
    counts[samples[at]!]!++;
    counts[bins + samples[at + 1]!]!++;
    counts[2 * bins + samples[at + 2]!]!++;
  }
}

function countLuma(samples: Samples, from: number, to: number, step: number, counts: Uint32Array): void {
  const { red, green, blue } = lumaWeights;
  for (let at = from; at < to; at += step) {
    counts[(red * samples[at]! + green * samples[at + 1]! + blue * samples[at + 2]! + 16_384) >> 15]!++;
  }
}
