/** Which instance to call. Pure. */
import { createHash } from 'node:crypto';

/** Chooses by position; `instances` is never empty and always in the same order. */
export type Balance = (instances: readonly { id: string }[]) => number;

/** One after the other. */
export function roundRobin(): Balance {
  let turn = -1;
  return (instances) => {
    turn = (turn + 1) % instances.length;
    return turn;
  };
}

/** @param random 0 … 1 */
export function randomly(random: () => number = Math.random): Balance {
  return (instances) => Math.min(instances.length - 1, Math.floor(random() * instances.length));
}

/**
 * The same key goes to the same instance as long as it is there, and only the keys of one that leaves move (rendezvous hashing,
 * Thaler and Ravishankar 1998).
 */
export function sticky(key: string): Balance {
  const weight = ({ id }: { id: string }) => createHash('sha256').update(`${id}\u0000${key}`).digest('hex');
  return (instances) => {
    const weights = instances.map(weight);
    return weights.reduce((best, each, index) => (each > (weights[best] ?? '') ? index : best), 0);
  };
}
