/** Statistics of several rounds: always with their number and their spread. */

/** The spread of the values of `n` rounds. */
export interface Range {
  n: number;
  min: number;
  median: number;
  max: number;
}

/** @throws RangeError for an empty list: a measurement that did not take place has no range */
export function rangeOf(values: readonly number[]): Range {
  const sorted = [...values].sort((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) throw new RangeError('no rounds, no range');
  return { n: sorted.length, min, median: percentile(sorted, 50), max };
}

/**
 * Ratios of rounds that belong together: round i of one arm ran next to round i of the other, so
 * other work on the machine slowed down both.
 * @throws RangeError if the arms differ in their number of rounds
 */
export function ratioRange(numerators: readonly number[], denominators: readonly number[]): Range {
  if (numerators.length !== denominators.length) {
    throw new RangeError(`${numerators.length} rounds against ${denominators.length} cannot be paired`);
  }
  return rangeOf(numerators.map((value, index) => value / denominators[index]!));
}

/**
 * The percentile of ascending values, by the nearest rank; the median of an even number is the mean
 * of the middle two.
 * @param p from 0 to 100
 */
export function percentile(sorted: readonly number[], p: number): number {
  if (sorted.length === 0) throw new RangeError('no values, no percentile');
  if (p === 50 && sorted.length % 2 === 0) {
    const middle = sorted.length / 2;
    return (sorted[middle - 1]! + sorted[middle]!) / 2;
  }
  const rank = Math.max(1, Math.ceil((p / 100) * sorted.length));
  return sorted[rank - 1]!;
}

/**
 * Interleaves arms: ABAB…, with every second round in reverse, so that no arm always goes first.
 */
export function interleave<T>(arms: readonly T[], rounds: number): { arm: T; round: number }[] {
  return Array.from({ length: rounds }, (_, round) => {
    const order = round % 2 === 0 ? arms : [...arms].reverse();
    return order.map((arm) => ({ arm, round }));
  }).flat();
}
