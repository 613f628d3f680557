/** How much the billing bench measures. */

export interface BillingPlan {
  quick: boolean;
  /** Callers; each has one open payment at all times. */
  concurrent: number;
  /** Connections to PostgreSQL of each arm. */
  connections: number;
  /**
   * Warm-up traffic of each arm before the first measurement, because code is compiled while it
   * runs.
   */
  warmUpMs: number;
  /** Traffic of the same arm before each of its windows. */
  settleMs: number;
  windowMs: number;
  /**
   * How long the card processor takes for a charge, and how many rounds are measured with that. The
   * target is for the first; the others show the effect of faster and slower processors.
   */
  processor: readonly { delayMs: number; rounds: number }[];
  replay: { rounds: number; windowMs: number };
}

/** Favours the other arm: real card processors take some hundred milliseconds. */
const delayMs = 50;

export const quickPlan: BillingPlan = {
  quick: true,
  concurrent: 256,
  connections: 10,
  warmUpMs: 2500,
  settleMs: 500,
  windowMs: 2000,
  processor: [
    { delayMs, rounds: 3 },
    { delayMs: 10, rounds: 1 },
  ],
  replay: { rounds: 2, windowMs: 1000 },
};

export const fullPlan: BillingPlan = {
  ...quickPlan,
  quick: false,
  warmUpMs: 8000,
  settleMs: 1500,
  windowMs: 8000,
  processor: [
    { delayMs, rounds: 7 },
    { delayMs: 10, rounds: 5 },
    { delayMs: 200, rounds: 5 },
  ],
  replay: { rounds: 7, windowMs: 5000 },
};

/** For the integration test: every arm runs, but too briefly for a meaningful figure. */
export const smallestPlan: BillingPlan = {
  quick: true,
  concurrent: 16,
  connections: 2,
  warmUpMs: 200,
  settleMs: 50,
  windowMs: 300,
  processor: [
    { delayMs: 5, rounds: 1 },
    { delayMs: 1, rounds: 1 },
  ],
  replay: { rounds: 1, windowMs: 200 },
};
