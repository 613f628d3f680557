/** A device's own clock: off by a skew from the start, and running fast or slow. */

export interface ClockTraits {
  skewMs: number;
  /** Millionths; above 0 the clock is fast. */
  driftPpm: number;
}

/** What the device's clock shows at `trueMs`, if it was `skewMs` off at `originMs`; whole Unix ms. */
export function deviceTimeMs({ skewMs, driftPpm }: ClockTraits, originMs: number, trueMs: number): number {
  return Math.round(trueMs + skewMs + ((trueMs - originMs) * driftPpm) / 1e6);
}
