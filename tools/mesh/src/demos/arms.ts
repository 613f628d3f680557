/** The four kinds of call, what the link does to each try, and the counts. Pure. */
import type { Semantics } from '@thermomesh/billing-client';
import type { RpcSemanticsDocument } from '@thermomesh/contracts';
import { seeded } from '../seeded.ts';

export interface Arm {
  name: string;
  semantics: Semantics;
  /**
   * True if all tries of a call share one transaction UUID; else each try has a new one, as if
   * there were none.
   */
  uuid: boolean;
}

/**
 * In the order of the textbook (Birrell and Nelson; Coulouris et al., "Distributed Systems",
 * 5.3.1).
 */
export const arms: readonly Arm[] = [
  { name: 'maybe', semantics: 'maybe', uuid: true },
  { name: 'at-least-once, no UUID', semantics: 'at-least-once', uuid: false },
  { name: 'at-most-once', semantics: 'at-most-once', uuid: true },
  { name: 'at-least-once, UUID', semantics: 'at-least-once', uuid: true },
];

/**
 * What the link does to one try: it refuses the connection, loses the request, loses the reply, or
 * passes everything.
 */
export type Fate = 'refused' | 'request' | 'reply' | 'none';
const losses = ['refused', 'request', 'reply'] as const;
/**
 * Later tries of a call always pass: at a loss of 0.9 only one call in seventy needs so many tries.
 */
export const triesScriptedMax = 40;

/** The fates of the tries of call number `call`; they are the same for every kind of call. */
export function fatesOf(seed: number, call: number, loss: number): Fate[] {
  const chance = seeded(seed + Math.imul(call + 1, 0x9e37_79b1));
  return Array.from({ length: triesScriptedMax }, () =>
    chance.next() < loss ? (losses[chance.whole(0, losses.length - 1)] ?? 'request') : 'none',
  );
}

/** The outcome of one call. */
export interface CallOutcome {
  answered: boolean;
  /** Every transaction UUID that it sent. */
  transactionIds: string[];
}

export type ArmCounts = RpcSemanticsDocument['arms'][number];

/**
 * Counts the calls of one kind.
 * @param chargesOf returns the number of charges for a transaction UUID in the processor's own
 *   ledger
 */
export function countArm(
  name: string,
  calls: readonly CallOutcome[],
  chargesOf: (transactionId: string) => number,
): ArmCounts {
  const charges = calls.map(({ transactionIds }) =>
    transactionIds.reduce((total, id) => total + chargesOf(id), 0),
  );
  return {
    name,
    calls: calls.length,
    answered: calls.filter(({ answered }) => answered).length,
    charged: charges.reduce((total, n) => total + n, 0),
    lost: charges.filter((n) => n === 0).length,
    doubled: charges.reduce((total, n) => total + Math.max(0, n - 1), 0),
  };
}

/**
 * True if each kind keeps its promise: with a UUID never two charges; at-least-once exactly one
 * charge and an answer.
 */
export function keepsPromises(counts: readonly ArmCounts[]): boolean {
  return arms.every(({ name, semantics, uuid }) => {
    const found = counts.find((each) => each.name === name);
    if (found === undefined || (uuid && found.doubled > 0)) return false;
    if (semantics !== 'at-least-once') return true;
    return found.lost === 0 && found.answered === found.calls;
  });
}
