/**
 * Decides which fault the next call gets: first the faults that are planned for the next calls,
 * then faults by rate. It is pure, because its randomness comes from a seed.
 */

/** The faults that can be injected. */
export const faultNames = [
  /** The processor answers 503 and does not charge. */
  'refuse',
  /** The card is declined, which is a final answer. */
  'decline',
  /** The processor charges after `delayMs`, when the caller may have given up. */
  'delay',
  /** The processor never answers and never charges. */
  'hang',
  /** The processor charges, and the connection breaks before the answer. */
  'drop-reply',
  /** The connection breaks before the processor charges. */
  'drop-request',
  /** The process dies before it charges. */
  'crash-before',
  /** The process charges, makes the ledger durable and dies. */
  'crash-after',
] as const;
/** The name of a fault. */
export type FaultName = (typeof faultNames)[number];

/** The plan that tests and people set. */
export interface FaultPlan {
  /** One fault for each of the next calls, in order. */
  next: FaultName[];
  /** Probabilities for the calls that `next` does not cover. Their sum is at most 1. */
  rates: Partial<Record<FaultName, number>>;
  /** Duration of the fault `delay`. */
  delayMs: number;
  /** False: keys are ignored and each call is a new charge, as with a processor without keys. */
  idempotency: boolean;
}

/** The plan without faults. */
export const noFaults: FaultPlan = { next: [], rates: {}, delayMs: 1_000, idempotency: true };

/** Draws faults; the same seed and the same calls give the same faults. */
export class Faults {
  plan: FaultPlan = noFaults;
  /** How often each fault was injected. */
  readonly given: Partial<Record<FaultName, number>> = {};
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Returns the fault of this call; undefined for none. */
  draw(): FaultName | undefined {
    const [planned, ...rest] = this.plan.next;
    const fault = planned ?? this.#byRate();
    if (planned !== undefined) this.plan = { ...this.plan, next: rest };
    if (fault !== undefined) this.given[fault] = (this.given[fault] ?? 0) + 1;
    return fault;
  }

  #byRate(): FaultName | undefined {
    let left = this.#random();
    for (const name of faultNames) {
      left -= this.plan.rates[name] ?? 0;
      if (left < 0) return name;
    }
    return undefined;
  }

  /**
   * Returns a number in [0, 1) by mulberry32 (Tommy Ettinger, public domain). Its 32 bits of state
   * are enough to make tests repeatable.
   */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
