/** Prometheus metrics: one registry for each process; names start with `thermomesh_`. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

/**
 * The metrics of one process. Units stand last in names (`_ms`, `_bytes`); counters end in
 * `_total`.
 */
export interface Metrics {
  readonly registry: Registry;
  counter<L extends string>(name: string, help: string, labelNames?: readonly L[]): Counter<L>;
  gauge<L extends string>(name: string, help: string, labelNames?: readonly L[]): Gauge<L>;
  /** @param buckets upper bounds, in the unit of the name */
  histogram<L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames?: readonly L[],
  ): Histogram<L>;
}

/** Upper bounds that suit latencies of this mesh, in milliseconds. */
export const latencyBucketsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/**
 * Makes the metrics of one process.
 * @param options `defaults: false` leaves out the metrics of Node itself
 */
export function createMetrics(options: { defaults?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.defaults ?? true) collectDefaultMetrics({ register: registry });
  const named = (name: string) => `thermomesh_${name}`;
  return {
    registry,
    counter: (name, help, labelNames = []) =>
      new Counter({ name: named(name), help, labelNames: [...labelNames], registers: [registry] }),
    gauge: (name, help, labelNames = []) =>
      new Gauge({ name: named(name), help, labelNames: [...labelNames], registers: [registry] }),
    histogram: (name, help, buckets, labelNames = []) =>
      new Histogram({ name: named(name), help, buckets, labelNames: [...labelNames], registers: [registry] }),
  };
}
