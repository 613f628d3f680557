/** A transaction that the server commits and whose answer the client never gets. */
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { LinkedClient } from './clients.ts';

/**
 * Lets the client's next `multi` reach the server, waits until `committed` resolves, and cuts the
 * connection before the answer arrives. The link passes again afterwards.
 */
export function loseNextMultiAnswer({ zk, link }: LinkedClient, committed: () => Promise<void>): void {
  const multi = zk.multi.bind(zk);
  zk.multi = async (operations) => {
    zk.multi = multi;
    await link.set({ ...passing, state: 'stall', direction: 'backward' });
    const answer = multi(operations);
    answer.catch(() => undefined);
    await committed();
    await link.set({ ...passing, state: 'cut' });
    await until('the client to notice the cut', () => zk.phase === 'suspended');
    await link.set(passing);
    return answer;
  };
}
