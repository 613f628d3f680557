/** How much the ingest bench measures. */
import type { Shape } from '../parts/generator.ts';

export const sections = ['publish', 'end-to-end', 'latency', 'drain', 'failover'] as const;
export type Section = (typeof sections)[number];

export interface IngestPlan {
  quick: boolean;
  shapes: readonly [b1: Shape, b20: Shape];
  /** Warm-up traffic before the first measurement, because code is compiled while it runs. */
  warmUpMs: number;
  /** Traffic of the same arm before each of its windows. */
  settleMs: number;
  publish: { rounds: number; windowMs: number };
  endToEnd: { rounds: number; windowMs: number; naiveRate: number };
  latency: { rounds: number; windowMs: number };
  drain: {
    sizes: readonly { readings: number; rounds: number }[];
    /** The fleet publishes at `rate` while a backlog of `readings` is drained. */
    live: { readings: number; rate: number; rounds: number };
  };
  failover: {
    nodes: number;
    kills: number;
    freezes: number;
    /**
     * Kills of a coordinator that ZooKeeper has elected: a successor comes only after its session
     * of `sessionMs` has ended.
     */
    sessionKills: number;
    sessionMs: number;
    rate: number;
  };
}

const b1: Shape = { name: 'b1', burst: 1, devices: 1000 };
const b20: Shape = { name: 'b20', burst: 20, devices: 200 };
const failover = { nodes: 5, sessionMs: 4000, rate: 1000 };

export const quickPlan: IngestPlan = {
  quick: true,
  shapes: [b1, b20],
  warmUpMs: 3000,
  settleMs: 500,
  publish: { rounds: 3, windowMs: 800 },
  endToEnd: { rounds: 2, windowMs: 2000, naiveRate: 4000 },
  latency: { rounds: 1, windowMs: 2000 },
  drain: {
    sizes: [
      { readings: 1000, rounds: 3 },
      { readings: 10_000, rounds: 2 },
      { readings: 100_000, rounds: 1 },
    ],
    live: { readings: 100_000, rate: 5000, rounds: 1 },
  },
  failover: { ...failover, kills: 3, freezes: 1, sessionKills: 1 },
};

export const fullPlan: IngestPlan = {
  quick: false,
  shapes: [b1, b20],
  warmUpMs: 8000,
  settleMs: 1500,
  publish: { rounds: 9, windowMs: 3000 },
  endToEnd: { rounds: 7, windowMs: 8000, naiveRate: 4000 },
  latency: { rounds: 5, windowMs: 5000 },
  drain: {
    sizes: [
      { readings: 1000, rounds: 20 },
      { readings: 10_000, rounds: 10 },
      { readings: 100_000, rounds: 5 },
      { readings: 1_000_000, rounds: 2 },
    ],
    live: { readings: 200_000, rate: 5000, rounds: 5 },
  },
  failover: { ...failover, kills: 120, freezes: 10, sessionKills: 10 },
};

/** For the integration test: every arm runs, but too briefly for a meaningful figure. */
export const smallestPlan: IngestPlan = {
  quick: true,
  shapes: [
    { ...b1, devices: 20 },
    { ...b20, devices: 5 },
  ],
  warmUpMs: 200,
  settleMs: 100,
  publish: { rounds: 1, windowMs: 200 },
  endToEnd: { rounds: 1, windowMs: 300, naiveRate: 500 },
  latency: { rounds: 1, windowMs: 200 },
  drain: {
    sizes: [
      { readings: 200, rounds: 1 },
      { readings: 400, rounds: 1 },
    ],
    live: { readings: 400, rate: 200, rounds: 1 },
  },
  failover: { nodes: 2, kills: 1, freezes: 0, sessionKills: 0, sessionMs: 4000, rate: 200 },
};
