/** How much of everything is measured. */

export interface BillingPlan {
  quick: boolean;
  /** Callers that have one payment under way each, all the time. */
  concurrent: number;
  /** Connections to PostgreSQL, of either arm. */
  connections: number;
  /** Code is compiled while it runs: this much traffic of each arm comes before anything is timed. */
  warmUpMs: number;
  /** Traffic of the arm itself before each of its windows. */
  settleMs: number;
  windowMs: number;
  /**
   * How long the card processor takes for a charge, and how often that is measured. The first is the one that the target is for;
   * processors that are reached over the internet take longer, the others say what that changes.
   */
  processor: readonly { delayMs: number; rounds: number }[];
  replay: { rounds: number; windowMs: number };
}

/** Kind to the other arm: real card processors take some hundred milliseconds. */
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

/** For the integration test: every arm runs, none long enough to say anything. */
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
