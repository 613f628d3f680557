/** A semaphore: a limited number of holders at a time, each with its own slot. */
import { raceAbort } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { WatchEvent } from '../../client/types.ts';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { tryClaim } from '../leases/claim.ts';
import { encode } from '../documents.ts';
import type { Lease, NodeLease } from '../leases/lease.ts';
import { LeaseRecipe } from './lease-recipe.ts';
import { waitForTurn } from '../leases/queue.ts';
import { everyoneBlocks } from '../leases/tickets.ts';

/**
 * A lease on one of the slots. A resource fences each slot separately: within a slot, epochs only
 * grow.
 */
export interface Permit extends Lease {
  /** 0 … permits − 1 */
  readonly slot: number;
}

export interface SemaphoreOptions {
  path: string;
  /** The number of slots; the same for every user of the path. */
  permits: number;
}

/**
 * A fair, fenced semaphore. Only the first of the queue watches the slots; it takes the first free
 * one and then lets the next waiter forward. A holder that dies frees its slot when its session
 * ends.
 */
export class Semaphore extends LeaseRecipe {
  readonly permits: number;

  /** @throws RangeError unless `permits` is a positive integer */
  constructor(zk: ZooKeeper, { path, permits }: SemaphoreOptions) {
    super(zk, path);
    if (!Number.isInteger(permits) || permits < 1) throw new RangeError('permits must be a positive integer');
    this.permits = permits;
  }

  /** @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason */
  async acquire(options: WaitOptions = {}): Promise<Permit> {
    const lease = await this.obtain(async (signal) => this.#acquire(signal), options);
    const slot = Number(lease.path.slice(lease.path.lastIndexOf('-') + 1));
    return Object.defineProperty(lease, 'slot', { value: slot, enumerable: true }) as Permit;
  }

  async #acquire(signal: AbortSignal): Promise<NodeLease> {
    const turn = await waitForTurn(this.zk, {
      directory: join(this.path, 'queue'),
      kind: 'turn',
      data: encode({ permits: this.permits }),
      blocks: everyoneBlocks,
      signal,
    });
    try {
      return await this.#takeSlot(signal);
    } finally {
      await turn.release();
    }
  }

  /** Losing the turn meanwhile does no harm: a slot belongs to the client that creates its node. */
  async #takeSlot(signal: AbortSignal): Promise<NodeLease> {
    const slots = join(this.path, 'slots');
    for (;;) {
      await this.zk.whenConnected({ signal });
      try {
        const event = Promise.withResolvers<WatchEvent>();
        const { names } = await this.zk.getChildren(slots, event.resolve);
        const free = Array.from({ length: this.permits }, (_, index) => `slot-${index}`).find(
          (name) => !names.includes(name),
        );
        if (free === undefined) {
          await raceAbort(event.promise, signal);
          continue;
        }
        const lease = await tryClaim(this.zk, { path: join(slots, free), content: {}, signal });
        if (lease !== 'taken') return lease;
      } catch (error) {
        signal.throwIfAborted();
        if (hasCode(error, 'zookeeper.no_node'))
          await this.zk.ensurePath(slots).catch(async (failure: unknown) => this.zk.pauseAfter(failure));
        else await this.zk.pauseAfter(error);
      }
    }
  }
}
