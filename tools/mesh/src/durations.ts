/** Percentiles of measured durations. */

/** Nearest-rank percentiles of `values` in milliseconds; null if there are none. */
export function summarise(values: number[]): { n: number; p50: number; p99: number; max: number } | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}
