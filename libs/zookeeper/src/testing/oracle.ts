/** A resource that detects forbidden access. */
import assert from 'node:assert/strict';
import type { Lease } from '../recipes/leases/lease.ts';

/** Readers may share and a writer is alone; an epoch must not act after a later one has. */
export class Oracle {
  readonly #inside = new Map<Lease, 'read' | 'write'>();
  #readEpochMax = 0n;
  #writeEpochMax = 0n;
  entries = 0;

  /**
   * @throws AssertionError if another holder that believes to hold is inside, or if the epoch is
   *   stale
   */
  enter(lease: Lease, mode: 'read' | 'write' = 'write'): void {
    assert.ok(lease.held, `epoch ${lease.epoch} entered without holding`);
    for (const [other, otherMode] of this.#inside) {
      if (!other.held) continue;
      const shared = mode === 'read' && otherMode === 'read';
      assert.ok(shared, `epochs ${other.epoch} and ${lease.epoch} overlap`);
    }
    assert.ok(lease.epoch > this.#writeEpochMax, `epoch ${lease.epoch} after ${this.#writeEpochMax}`);
    if (mode === 'write') {
      assert.ok(
        lease.epoch > this.#readEpochMax,
        `epoch ${lease.epoch} after reads of ${this.#readEpochMax}`,
      );
      this.#writeEpochMax = lease.epoch;
    } else if (lease.epoch > this.#readEpochMax) this.#readEpochMax = lease.epoch;
    this.#inside.set(lease, mode);
    this.entries += 1;
  }

  leave(lease: Lease): void {
    this.#inside.delete(lease);
  }
}
