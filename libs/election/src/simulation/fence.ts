/** The database as the election sees it: one epoch, one holder, one lease. */
import type { ClaimResult, Epoch, NodeId } from '../types.ts';

/** A model of the fence. Times are milliseconds of the simulation. */
export class Fence {
  epoch: Epoch = 0;
  readonly grantedTo = new Map<Epoch, NodeId>();
  #holder: NodeId | null = null;
  #leaseEndsAt = 0;
  readonly #leaseMs: number;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /**
   * A lease that the node itself holds, from an earlier life or a lost answer, does not stop its
   * claim.
   */
  claim(node: NodeId, now: number): ClaimResult {
    if (this.#holder !== null && this.#holder !== node && now < this.#leaseEndsAt) {
      return { outcome: 'held', holder: this.#holder, epoch: this.epoch };
    }
    this.epoch += 1;
    this.grantedTo.set(this.epoch, node);
    this.#holder = node;
    this.#leaseEndsAt = now + this.#leaseMs;
    return { outcome: 'won', epoch: this.epoch };
  }

  /** Extends the lease. If another epoch exists by now, returns that epoch and its holder. */
  renew(epoch: Epoch, now: number): { holder: NodeId | null; epoch: Epoch } | undefined {
    if (epoch !== this.epoch) return { holder: this.grantedTo.get(this.epoch) ?? null, epoch: this.epoch };
    if (this.#holder !== null) this.#leaseEndsAt = now + this.#leaseMs;
    return undefined;
  }

  release(epoch: Epoch): void {
    if (epoch === this.epoch) this.#holder = null;
  }
}
