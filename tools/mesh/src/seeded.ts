/** Random numbers from a seed; the same seed gives the same numbers. */

export interface Seeded {
  /** A number in [0, 1). */
  next: () => number;
  /** A whole number from `min` to `max`. */
  whole: (min: number, max: number) => number;
  /** The list in random order. */
  shuffled: <T>(list: readonly T[]) => T[];
}

/** Tommy Ettinger's mulberry32, from 32 bits of seed. */
export function seeded(seed: number): Seeded {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    whole: (min, max) => min + Math.floor(next() * (max - min + 1)),
    shuffled: <T>(list: readonly T[]) => {
      const result = [...list];
      for (let last = result.length - 1; last > 0; last -= 1) {
        const other = Math.floor(next() * (last + 1));
        [result[last], result[other]] = [result[other] as T, result[last] as T];
      }
      return result;
    },
  };
}
