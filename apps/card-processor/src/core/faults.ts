/** Which fault the next call gets: those ordered for the next calls first, then by rate. Pure, but for its own seeded chance. */

export const faultNames = [
  /** 503 and nothing else. */
  'refuse',
  /** The card is declined: a proper, final answer. */
  'decline',
  /** It charges only after `delayMs`: by then the caller may have given up. */
  'delay',
  /** It never answers and never charges. */
  'hang',
  /** It charges, and the connection breaks before the answer. */
  'drop-reply',
  /** The connection breaks before anything is done. */
  'drop-request',
  /** The process ends before it charges. */
  'crash-before',
  /** It charges, the ledger is durable, and the process ends. */
  'crash-after',
] as const;
export type FaultName = (typeof faultNames)[number];

/** What tests and people order. */
export interface FaultPlan {
  /** One for each of the next calls, in order. */
  next: FaultName[];
  /** Probability of each, for calls that `next` does not cover. Their sum is at most 1. */
  rates: Partial<Record<FaultName, number>>;
  /** How long `delay` takes. */
  delayMs: number;
  /** False: keys are ignored, every call charges anew. Shows what then cannot be promised. */
  idempotency: boolean;
}

export const noFaults: FaultPlan = { next: [], rates: {}, delayMs: 1_000, idempotency: true };

/** Draws faults; the same seed and the same calls give the same ones. */
export class Faults {
  plan: FaultPlan = noFaults;
  /** How often each was given. */
  readonly given: Partial<Record<FaultName, number>> = {};
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The fault of this call; undefined for none. */
  draw(): FaultName | undefined {
    const [ordered, ...rest] = this.plan.next;
    const fault = ordered ?? this.#byRate();
    if (ordered !== undefined) this.plan = { ...this.plan, next: rest };
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

  /** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are enough to make tests repeatable. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
