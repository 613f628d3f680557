/**
 * Luma and the way back, in integers.
 *
 * Luma is Rec. 601 on the stored (gamma-coded) values with 15-bit weights that sum to 32,768,
 * rounded half up: what OpenCV's `cvtColor(…, COLOR_RGB2GRAY)` computes for 8 bit
 * (modules/imgproc/src/color_rgb.simd.hpp, `RGB2Gray<uchar>`), used here at 16 bit too: 65,535 ×
 * 32,768 + 16,384 still fits an int32.
 */
import type { Samples } from './raster.ts';

/** 15-bit weights of red, green and blue; they sum to 32,768. */
export const lumaWeights = { red: 9798, green: 19235, blue: 3735 } as const;

/** @returns the luma of one pixel, in the range of its samples */
export function lumaOf(red: number, green: number, blue: number): number {
  return (lumaWeights.red * red + lumaWeights.green * green + lumaWeights.blue * blue + 16_384) >> 15;
}

/**
 * Writes a pixel whose luma moves from `luma` to `moved`. The change is added to all three
 * channels. Where that leaves the range, the distances of the channels from the luma are scaled by
 * the largest fraction with which all three fit, the same for the three: their order and the ratio
 * of their differences, which is the hue, stay.
 * @param to samples; the pixel is at `at`
 * @param max the largest value of a sample, a power of two less one
 */
export function writeMoved(
  to: Samples,
  at: number,
  r: number,
  g: number,
  b: number,
  luma: number,
  moved: number,
  max: number,
): void {
  const change = moved - luma;
  // A negative number has its high bits set: one test sees both ends of the range.
  if ((((r + change) | (g + change) | (b + change)) & ~max) === 0) {
    to[at] = r + change;
    to[at + 1] = g + change;
    to[at + 2] = b + change;
    return;
  }
  const above = Math.max(r, g, b) - luma;
  const below = luma - Math.min(r, g, b);
  const room = max - moved;
  const over = above > room;
  const under = below > moved;
  // Of two ends that the pixel leaves, the one that leaves it the smaller fraction: room / above or
  // moved / below.
  const byRoom = over && (!under || room * below <= moved * above);
  const numerator = byRoom ? room : under ? moved : 1;
  const denominator = byRoom ? above : under ? below : 1;
  to[at] = moved + scaled(r - luma, numerator, denominator);
  to[at + 1] = moved + scaled(g - luma, numerator, denominator);
  to[at + 2] = moved + scaled(b - luma, numerator, denominator);
}

/** round(distance × numerator / denominator), halves up. */
function scaled(distance: number, numerator: number, denominator: number): number {
  // At 16 bit the product exceeds 2³² but stays below 2⁵³, and a quotient of at most 2¹⁷ with a
  // denominator of at most 2¹⁷ is at least 2⁻¹⁷ away from the next integer or is one: the division
  // in doubles cannot cross it.
  return Math.floor((2 * distance * numerator + denominator) / (2 * denominator));
}
