/** The four kinds of call, what the link does to each try, and what is counted. Pure. */
import type { Semantics } from '@thermomesh/billing-client';
import type { RpcSemanticsDocument } from '@thermomesh/contracts';
import { seeded } from '../payments/seeded.ts';

export interface Arm {
  name: string;
  semantics: Semantics;
  /** One transaction UUID for all tries of a call; otherwise each try has a new one, as if there were none. */
  uuid: boolean;
}

/** In the order of the textbook (Birrell and Nelson; Coulouris et al., "Distributed Systems", 5.3.1). */
export const arms: readonly Arm[] = [
  { name: 'maybe', semantics: 'maybe', uuid: true },
  { name: 'at-least-once, no UUID', semantics: 'at-least-once', uuid: false },
  { name: 'at-most-once', semantics: 'at-most-once', uuid: true },
  { name: 'at-least-once, UUID', semantics: 'at-least-once', uuid: true },
];

/** What the link does to one try: the connection is refused, the request is lost, the reply is lost, or everything passes. */
export type Fate = 'refused' | 'request' | 'reply' | 'none';
const losses = ['refused', 'request', 'reply'] as const;
/** Later tries of a call pass: at a loss of 0.9 a call in seventy comes so far. */
export const triesScriptedMax = 40;

/** The fates of the tries of call number `call`: the same for every kind of call. */
export function fatesOf(seed: number, call: number, loss: number): Fate[] {
  const chance = seeded(seed + Math.imul(call + 1, 0x9e37_79b1));
  return Array.from({ length: triesScriptedMax }, () =>
    chance.next() < loss ? (losses[chance.whole(0, losses.length - 1)] ?? 'request') : 'none',
  );
}

/** One call as it went. */
export interface CallOutcome {
  answered: boolean;
  /** Every transaction UUID that it sent. */
  transactionIds: string[];
}

export type ArmCounts = RpcSemanticsDocument['arms'][number];

/** @param chargesOf how many charges the processor's own ledger has for a transaction UUID */
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

/** What each kind promises: with a UUID never two charges, and at-least-once exactly one and an answer. */
export function keepsPromises(counts: readonly ArmCounts[]): boolean {
  return arms.every(({ name, semantics, uuid }) => {
    const found = counts.find((each) => each.name === name);
    if (found === undefined || (uuid && found.doubled > 0)) return false;
    if (semantics !== 'at-least-once') return true;
    return found.lost === 0 && found.answered === found.calls;
  });
}
