/**
 * Mutual exclusion: one holder, or many readers and one writer. Locks are fair and fenced, and a
 * holder's death releases them.
 */
import { hostname } from 'node:os';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { encode } from '../documents.ts';
import type { Lease } from '../leases/lease.ts';
import { waitForTurn } from '../leases/queue.ts';
import { LeaseRecipe } from './lease-recipe.ts';
import { everyoneBlocks, writersBlock, type Blocks } from '../leases/tickets.ts';

/** One queue of tickets; `blocks` decides which ticket waits for which. */
abstract class QueueLock extends LeaseRecipe {
  readonly #owner: string;

  /** @param owner stored in the node, for people who inspect it */
  constructor(zk: ZooKeeper, path: string, owner = `${hostname()}:${process.pid}`) {
    super(zk, path);
    this.#owner = owner;
  }

  protected async queue(kind: string, blocks: Blocks, options: WaitOptions): Promise<Lease> {
    const data = encode({ owner: this.#owner });
    return this.obtain(
      async (signal) => waitForTurn(this.zk, { directory: this.path, kind, data, blocks, signal }),
      options,
    );
  }
}

/** Calls `work` with the lease and releases it afterwards, even if `work` throws. */
async function withLease<T>(lease: Lease, work: (lease: Lease) => Promise<T>): Promise<T> {
  try {
    return await work(lease);
  } finally {
    await lease.release();
  }
}

/**
 * A lock, first come, first served. Not reentrant: each `acquire` is a separate holder, even within
 * one process.
 */
export class Lock extends QueueLock {
  /** @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason */
  async acquire(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('lock', everyoneBlocks, options);
  }

  /**
   * Holds the lock while `work` runs. Before each act, `work` must check the lease, or the resource
   * must check its epoch.
   */
  async use<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.acquire(options), work);
  }
}

/**
 * Many readers or one writer, in order of arrival: a reader that arrives after a waiting writer
 * waits too, so no writer starves. The resource must refuse a write whose epoch is below any it has
 * seen, and a read whose epoch is below that of the last write.
 */
export class ReadWriteLock extends QueueLock {
  async read(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('read', writersBlock, options);
  }

  async write(options: WaitOptions = {}): Promise<Lease> {
    return this.queue('write', writersBlock, options);
  }

  async useRead<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.read(options), work);
  }

  async useWrite<T>(work: (lease: Lease) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    return withLease(await this.write(options), work);
  }
}
