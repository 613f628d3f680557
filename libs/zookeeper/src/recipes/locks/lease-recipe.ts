/** What locks and semaphores share: they hand out leases and release them on `close`. */
import type { WaitOptions } from '../../client/zookeeper.ts';
import type { Lease, NodeLease } from '../leases/lease.ts';
import { Recipe } from '../recipe.ts';
import { within } from '../waiting.ts';

/** A recipe whose leases are acquired one by one and all released by `close`. */
export abstract class LeaseRecipe extends Recipe {
  readonly #held = new Set<Lease>();
  readonly #waiting = new Set<Promise<unknown>>();

  /** The number of leases of this object that are held or suspended. */
  get holds(): number {
    return this.#held.size;
  }

  /**
   * @throws ZooKeeperError `zookeeper.timeout` after `timeoutMs`; the signal's reason;
   *   `zookeeper.closed`
   */
  protected async obtain(
    wait: (signal: AbortSignal) => Promise<NodeLease>,
    options: WaitOptions,
  ): Promise<Lease> {
    this.assertStarted();
    const { closing, path } = this;
    const waiting = within({ ...options, closing, path, what: () => 'not acquired' }, wait);
    this.#waiting.add(waiting);
    try {
      const lease = await waiting;
      this.#held.add(lease);
      void lease.ended.then(() => this.#held.delete(lease));
      return lease;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  protected override onStart(): void {
    // Nothing runs in the background.
  }

  protected override async onClose(): Promise<void> {
    await Promise.allSettled(this.#waiting);
    await Promise.all([...this.#held].map(async (lease) => lease.release()));
  }
}
