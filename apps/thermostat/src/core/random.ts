/** Seeded randomness: a run can be repeated from its seed. */

/** Returns the next number in [0, 1). */
export type Random = () => number;

/**
 * Creates a generator from a seed: mulberry32 by Tommy Ettinger (public domain). Its 32 bits of
 * state are good enough for rooms and jitter, not for secrets.
 */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns a number from -max to max. */
export function symmetric(random: Random, max: number): number {
  return (random() * 2 - 1) * max;
}

/** Returns an unsigned 32-bit hash of two integers: a random value for (device, number). */
export function hash32(a: number, b: number): number {
  let mixed = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
