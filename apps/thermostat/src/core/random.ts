/** Seeded randomness: a run can be repeated from its seed. */

/** Numbers from 0 (inclusive) to 1 (exclusive). */
export type Random = () => number;

/** mulberry32 by Tommy Ettinger (public domain): 32 bits of state, good enough for rooms and jitter, not for secrets. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number from -max to max. */
export function symmetric(random: Random, max: number): number {
  return (random() * 2 - 1) * max;
}

/** Unsigned 32 bits that look random, from two integers: a value for (device, number) without any state. */
export function hash32(a: number, b: number): number {
  let mixed = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
