/** Computes lookup tables from the counts of the whole image, by the formula of each definition. */
import type { Totals } from './merge.ts';
import type { Definition, EqualizationPlan } from './plan.ts';
import type { Samples } from './raster.ts';

/** Lookup tables of one image. */
export interface LookupTables {
  /** `planes × bins` entries, plane after plane; of the image's depth. */
  readonly entries: Samples;
}

/** Computes the lookup tables of an image from its counts. */
export function lookupTablesOf(plan: EqualizationPlan, totals: Totals): LookupTables {
  const { planes, bins, depth } = plan;
  const entries = depth === 8 ? new Uint8Array(planes * bins) : new Uint16Array(planes * bins);
  const make = makers[plan.definition];
  const context: Context = { highest: highestOf(totals.counts, bins), max: bins - 1 };
  for (let plane = 0; plane < planes; plane++) {
    const counts = totals.counts.subarray(plane * bins, (plane + 1) * bins);
    make(counts, totals.pixels, entries.subarray(plane * bins, (plane + 1) * bins), context);
  }
  return { entries };
}

interface Context {
  /** The largest value that occurs in any plane. */
  highest: number;
  /** The largest value of the depth. */
  max: number;
}

type Maker = (counts: Float64Array, pixels: number, table: Samples, context: Context) => void;

const makers: Record<Definition, Maker> = { opencv, pillow, vips, textbook };

function highestOf(counts: Float64Array, bins: number): number {
  const planes = Array.from({ length: counts.length / bins }, (_, plane) =>
    counts.subarray(plane * bins, (plane + 1) * bins).findLastIndex((count) => count > 0),
  );
  return Math.max(0, ...planes);
}

/** Returns whether the image is flat or empty: its values stay unchanged. */
function isFlat(counts: Float64Array, pixels: number): boolean {
  return pixels === 0 || counts.some((count) => count === pixels);
}

function identity(table: Samples): void {
  for (let value = 0; value < table.length; value++) table[value] = value;
}

/**
 * round(255 × (C(v) − h(first)) / (N − h(first))) in float32, halves to the even neighbour; a flat
 * image stays. OpenCV, modules/imgproc/src/histogram.cpp, `cv::equalizeHist`.
 */
function opencv(counts: Float64Array, pixels: number, table: Samples, { max }: Context): void {
  if (isFlat(counts, pixels)) {
    identity(table);
    return;
  }
  const first = counts.findIndex((count) => count > 0);
  const scale = Math.fround(max / Math.fround(pixels - counts[first]!));
  let sum = 0;
  for (let value = first + 1; value < table.length; value++) {
    sum += counts[value]!;
    table[value] = Math.min(max, roundHalfEven(Math.fround(Math.fround(sum) * scale)));
  }
}

/** As `lrintf` and SSE's conversion do in their default mode. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/**
 * Whole steps of the cumulative count before the value; a flat image stays, and so does one whose
 * step is 0 (few pixels). Pillow, src/PIL/ImageOps.py, `equalize`; entries above 255 are cut, as
 * `Image.point` does.
 */
function pillow(counts: Float64Array, pixels: number, table: Samples, { max }: Context): void {
  const last = counts[counts.findLastIndex((count) => count > 0)] ?? 0;
  const step = Math.floor((pixels - last) / max);
  if (isFlat(counts, pixels) || step === 0) {
    identity(table);
    return;
  }
  let sum = Math.floor(step / 2);
  for (let value = 0; value < table.length; value++) {
    table[value] = Math.min(max, Math.floor(sum / step));
    sum += counts[value]!;
  }
}

/**
 * trunc(float32(m / N) × C(v)) in float32, where m is 255 for 8 bit and the largest value that
 * occurs in any channel for 16 bit. A flat image becomes m: flat, but white at 8 bit. libvips,
 * libvips/histogram/hist_equal.c, hist_norm.c, libvips/arithmetic/hist_find.c, linear.c (`LOOP1`:
 * the factors of the channels are equal, since each counts all pixels, and then one float32 stands
 * for them).
 */
function vips(counts: Float64Array, pixels: number, table: Samples, context: Context): void {
  const top = context.max === 255 ? 255 : context.highest;
  const factor = pixels === 0 ? 0 : Math.fround(top / pixels);
  let sum = 0;
  for (let value = 0; value <= top; value++) {
    sum += counts[value]!;
    table[value] = Math.min(context.max, Math.trunc(Math.fround(factor * Math.fround(sum))));
  }
}

/**
 * round(L × C(v) / N), halves up, L the largest value of the depth; a flat image stays. Gonzalez
 * and Woods, Digital Image Processing, section 3.3, "Histogram equalization"; all in integers.
 */
function textbook(counts: Float64Array, pixels: number, table: Samples, { max }: Context): void {
  if (isFlat(counts, pixels)) {
    identity(table);
    return;
  }
  let sum = 0;
  for (let value = 0; value < table.length; value++) {
    sum += counts[value]!;
    // Below 2⁵³ at the largest image: 2 × 65,535 × 2³¹.
    const doubled = 2 * max * sum + pixels;
    table[value] = (doubled - (doubled % (2 * pixels))) / (2 * pixels);
  }
}
