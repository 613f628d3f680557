/** A device's own clock: it is off by a skew from the start and runs fast or slow. */

/** How a clock differs from the true time. */
export interface ClockTraits {
  skewMs: number;
  /** Drift in millionths; above 0 the clock runs fast. */
  driftPpm: number;
}

/**
 * Returns what the device's clock shows at `trueMs` if it was `skewMs` off at `originMs`. Unix ms.
 */
export function deviceTimeMs({ skewMs, driftPpm }: ClockTraits, originMs: number, trueMs: number): number {
  return Math.round(trueMs + skewMs + ((trueMs - originMs) * driftPpm) / 1e6);
}
