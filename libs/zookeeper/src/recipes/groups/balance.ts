/** Chooses which instance to call. Pure. */
import { createHash } from 'node:crypto';

/**
 * Returns the index of the chosen instance. `instances` is never empty and always in the same
 * order.
 */
export type Balance = (instances: readonly { id: string }[]) => number;

/** Chooses the instances one after another. */
export function roundRobin(): Balance {
  let turn = -1;
  return (instances) => {
    turn = (turn + 1) % instances.length;
    return turn;
  };
}

/**
 * Chooses at random.
 * @param random in [0, 1)
 */
export function randomly(random: () => number = Math.random): Balance {
  return (instances) => Math.min(instances.length - 1, Math.floor(random() * instances.length));
}

/**
 * Chooses the same instance for the same key as long as it is listed. When an instance leaves, only
 * its keys move. Source: rendezvous hashing, Thaler and Ravishankar 1998.
 */
export function sticky(key: string): Balance {
  const weight = ({ id }: { id: string }) => createHash('sha256').update(`${id}\u0000${key}`).digest('hex');
  return (instances) => {
    const weights = instances.map(weight);
    return weights.reduce((best, each, index) => (each > (weights[best] ?? '') ? index : best), 0);
  };
}
